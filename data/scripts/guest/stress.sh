#!/bin/sh
# memory stressors one after the other, with more than there is: swap, kswapd, direct reclaim
for s in "--vm 2 --vm-bytes 500M --vm-method rand-set" "--mmap 2 --mmap-bytes 300M" "--bigheap 1 --bigheap-bytes 900M" "--fork 3" "--brk 1 --brk-bytes 600M" "--shm 1 --shm-bytes 300M" "--mremap 2 --mremap-bytes 100M" "--madvise 1" "--switch 2 --vm 1 --vm-bytes 700M"; do
  # shellcheck disable=SC2086 # several words
  timeout 40 stress-ng $s --oom-avoid --timeout 12 --quiet
done
grep -E 'pswpin|pswpout|pgscan_kswapd |pgscan_direct ' /proc/vmstat >&2
