#!/bin/sh
# initrd.sh ARCH VERSION: an initramfs of static busybox and the modules that reach the root file system
set -eu
ARCH=$1 V=$2; ROOT=$TOP/root-$ARCH; D=$(mktemp -d)
mkdir -p "$D/bin" "$D/m" "$D/proc" "$D/sys" "$D/dev" "$D/root"
cp "$ROOT/usr/bin/busybox" "$D/bin/"
# in the order of their dependencies; what is built in says so
for m in virtio_pci virtio_mmio virtio_blk ext4 virtio_rng; do modprobe -d "$ROOT" -S "$V" --show-depends $m 2>/dev/null || true; done |
  awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$D/list"
n=100; while read -r path; do n=$((n+1)); cp "$path" "$D/m/$n-${path##*/}"; done < "$D/list"; rm "$D/list"
xz -dq "$D/m/"*.xz 2>/dev/null || true
cat > "$D/init" <<'X'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc; /bin/busybox mount -t devtmpfs dev /dev
for m in /m/*; do /bin/busybox insmod $m || echo "insmod $m failed"; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vdc ] && break; /bin/busybox sleep 0.3; done
/bin/busybox mount -t ext4 /dev/vda /root || echo no root
/bin/busybox mount -t ext4 /dev/vdb /root/tools; /bin/busybox mount -t ext4 /dev/vdc /root/out
/bin/busybox mount --move /dev /root/dev; /bin/busybox umount /proc
exec /bin/busybox switch_root /root /bin/sh /tools/init.sh
X
chmod +x "$D/init"
(cd "$D" && find . | cpio -o -H newc --quiet | gzip -1) > "$TOP/images/initrd-$ARCH-$V"
rm -rf "$D"; ls -l "$TOP/images/initrd-$ARCH-$V"
