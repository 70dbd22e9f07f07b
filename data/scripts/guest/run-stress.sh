#!/bin/sh
sh "$WL/zram.sh" 300 100; mkswap -q /dev/vdd; swapon -p 1 /dev/vdd; sh "$WL/fill.sh"
BUFFER=48 RECORD=--background rec stress-x86 sh "$WL/stress.sh"
