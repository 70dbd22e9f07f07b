#!/bin/sh
# pressure.sh SECONDS MIB: take anonymous memory, read through the page cache, look at many files
choom -n 1000 -- stress-ng --no-oom-adjust --vm 1 --vm-bytes "$2M" --vm-keep --vm-method zero-one --timeout "$1" --quiet &
timeout "$1" sh -c "while :; do cat '$SPARSE' > /dev/null; done" &
timeout "$1" sh -c "while :; do find / -xdev -newermt 2001-01-01 > /dev/null 2>&1; done" &
wait
