#!/bin/sh
# sixty containers, five at a time, each with namespaces and a cgroup of its own, on an overlay of one root
B=/tmp/c; mkdir -p $B/root/bin $B/root/usr $B/root/lib $B/root/lib64 $B/root/proc $B/root/dev $B/root/sys $B/root/tmp
cp /usr/bin/busybox $B/root/bin/
one() {
  D=$B/$1; mkdir -p "$D/rootfs"; mount -t overlay overlay -o lowerdir=$B/root:/srv/chroot "$D/rootfs" -o upperdir=/tmp/u/"$1"/up,workdir=/tmp/u/"$1"/work
  (cd "$D" && crun spec && python3 - "$2" <<'PY'
import json, sys
config = json.load(open("config.json"))
config["process"].update(terminal=False, args=["/bin/busybox", "sh", "-c", sys.argv[1]])
config["root"]["readonly"] = False
config["linux"]["resources"] = {"memory": {"limit": 48 << 20}}
json.dump(config, open("config.json", "w"))
PY
  timeout 60 crun --cgroup-manager=cgroupfs run c"$1" > /dev/null 2> "$D/err") || head -2 "$D/err" >&2
  umount "$D/rootfs"
}
mkdir -p /tmp/u; mount -t tmpfs tmpfs /tmp/u
# shellcheck disable=SC2016 # the container expands it
W='i=0; while [ $i -lt 25 ]; do i=$((i+1)); /bin/busybox ls -R /etc > /dev/null; done; dd if=/dev/zero of=/tmp/x bs=1M count=8 2> /dev/null; perl -e "my @a = map { \$_ x 10 } 1 .. 60000; sleep 1"'
for n in $(seq 60); do
  mkdir -p /tmp/u/"$n"/up /tmp/u/"$n"/work; one "$n" "$W" &
  [ $((n % 5)) = 0 ] && wait
done
for n in $(seq 40); do
  bwrap --unshare-all --die-with-parent --ro-bind / / --tmpfs /tmp --proc /proc --dev /dev sh -c 'ls -R /usr/include > /dev/null; find /etc > /dev/null' &
  [ $((n % 8)) = 0 ] && wait
done
wait; find /sys/fs/cgroup -maxdepth 1 | sort | head -30 >&2
