#!/bin/sh
sh "$WL/fill.sh"
BUFFER=32 RECORD=--background rec dpkg-x86 sh "$WL/dpkg.sh"
