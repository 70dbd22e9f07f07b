#!/bin/sh
# the guest's first process: mounts, then the workload under `pba record`, then off
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/root LC_ALL=C.UTF-8 PYTHONPATH=/tools/pba:/tools/site PBA_CACHE_DIR=/tools/cache PYTHONDONTWRITEBYTECODE=1
exec > /out/console.log 2>&1 < /dev/null
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run; mkdir -p /dev/pts /dev/shm /run/lock; mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing; mount -t cgroup2 cgroup /sys/fs/cgroup; ln -sf /proc/self/fd /dev/fd
ip link set lo up 2>/dev/null || busybox ifconfig lo 127.0.0.1 up
echo 1 > /proc/sys/vm/overcommit_memory; echo 0 > /proc/sys/kernel/printk
hostname guest; uname -a; grep -E 'MemTotal|SwapTotal' /proc/meminfo
(sleep "${LIMIT:-900}"; echo "time limit"; sync; echo o > /proc/sysrq-trigger) &
pba() { python3 -c 'from pba.cli import main; main()' "$@"; }
export SPARSE=/sparse WL="$WL"
# rec NAME COMMAND...: the recorder is the last that the kernel may kill, the workload like any other
# shellcheck disable=SC2086 # RECORD may be empty, or several options
rec() { name=$1; shift; date; timeout 700 choom -n -1000 -- python3 -c 'from pba.cli import main; main()' record -o /out/"$name".parquet --buffer-mib "${BUFFER:-16}" --duration 270 $RECORD -- choom -n 0 -- "$@"; date; grep -E 'pgscan_(kswapd|direct) |oom_kill |pswpout|nr_page_table_pages' /proc/vmstat; }
# shellcheck disable=SC1091 # boot.sh puts it there
. /tools/run.sh
cp /proc/vmstat /proc/meminfo /proc/buddyinfo /out/ 2>/dev/null
dmesg | tail -60 > /out/dmesg.txt
sync; exec > /dev/null 2>&1; mount -o remount,ro /out
sync; sleep 1; echo o > /proc/sysrq-trigger; sleep 30
