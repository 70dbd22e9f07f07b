#!/bin/sh
# boot.sh NAME ARCH VERSION MIB SWAP_MIB SECONDS RUNFILE: run one guest; what it leaves is in $TOP/out/NAME
set -eu
NAME=$1 ARCH=$2 V=$3 MIB=$4 SWAP=$5 SECS=$6 RUN=$7
W=$TOP/guest-$NAME; rm -rf "$W"; mkdir -p "$W/tools" "$TOP/out"
cp -a "$TOP/guest/wl" "$W$WL"; cp "$RUN" "$W/tools/run.sh"; cp "$TOP/guest/init.sh" "$W/tools/"
cp -a "$TOP/${SRC:-pba-src}" "$W/tools/pba"; ln -s /usr/local/site "$W/tools/site"; mkdir -p "$TOP/${CACHE:-cache}-$ARCH"; cp -a "$TOP/${CACHE:-cache}-$ARCH" "$W/tools/cache"
truncate -s 1200M "$W/tools.img"; mke2fs -q -t ext4 -d "$W/tools" "$W/tools.img"
truncate -s 2G "$W/out.img"; mke2fs -q -t ext4 -O ^has_journal "$W/out.img"
truncate -s "${SWAP}M" "$W/swap.img"
DISKS="-drive file=$TOP/images/root-$ARCH.img,if=virtio,format=raw,snapshot=on -drive file=$W/tools.img,if=virtio,format=raw,cache=unsafe -drive file=$W/out.img,if=virtio,format=raw,cache=unsafe -drive file=$W/swap.img,if=virtio,format=raw,cache=unsafe"
case $ARCH in
arm64) Q="qemu-system-aarch64 -machine virt,gic-version=3 -accel tcg,thread=multi -cpu cortex-a76"; CON=ttyAMA0;;
amd64) Q="qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max,la57=off"; CON=ttyS0;;
esac
S=$(date +%s)
# shellcheck disable=SC2086 # Q and DISKS are several words
TMPDIR=$W timeout "$SECS" $Q -smp 2 -m "$MIB" -nodefaults -nographic -serial file:"$W/serial.log" $DISKS -device virtio-rng-pci -kernel "$TOP/root-$ARCH/boot/vmlinuz-$V" -initrd "$TOP/images/initrd-$ARCH-$V" -append "console=$CON panic=5 ${CMDLINE:-} random.trust_cpu=on" -no-reboot || echo "qemu status $?"
echo "$NAME: guest ran $(( $(date +%s) - S )) s"
rm -rf "$TOP/out/$NAME"; mkdir -p "$TOP/out/$NAME"; debugfs -R "rdump / $TOP/out/$NAME" "$W/out.img" 2>/dev/null || true
[ -n "${KEEP:-}" ] || rm -rf "$W/"*.img "$W/tools"
