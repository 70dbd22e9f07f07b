#!/bin/sh
# zram.sh MIB [SWAPPINESS]: swap into compressed memory
modprobe zram num_devices=1 && echo "${1}M" > /sys/block/zram0/disksize && mkswap -q /dev/zram0 > /dev/null && swapon -p 100 /dev/zram0
echo "${2:-100}" > /proc/sys/vm/swappiness; cat /proc/swaps >&2
