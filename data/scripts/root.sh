#!/bin/sh
# root.sh ARCH PACKAGE...: fetch packages with all that they need, and unpack them (no script of theirs runs) into root-ARCH
set -eu
ARCH=$1; shift
ROOT=$TOP/root-$ARCH
export APT_CONFIG="$APT/$ARCH/apt.conf"
apt-get -y -q --no-install-recommends --download-only install base-files base-passwd "$@"
mkdir -p "$ROOT/usr/bin" "$ROOT/usr/sbin" "$ROOT/usr/lib" "$ROOT/usr/lib64"
for d in bin sbin lib lib64; do [ -e "$ROOT/$d" ] || ln -s usr/$d "$ROOT/$d"; done
touch "$TOP/unpacked-$ARCH"
for deb in "$APT/$ARCH"/cache/archives/*.deb; do
  grep -qxF "$deb" "$TOP/unpacked-$ARCH" && continue
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$ROOT" --keep-directory-symlink --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
  echo "$deb" >> "$TOP/unpacked-$ARCH"
done
# what the packages' scripts would have made
[ -e "$ROOT/etc/passwd" ] || { cp "$ROOT/usr/share/base-passwd/passwd.master" "$ROOT/etc/passwd"; cp "$ROOT/usr/share/base-passwd/group.master" "$ROOT/etc/group";
  for u in postgres:110 mysql:111 redis:112; do echo "${u%:*}:x:${u#*:}:${u#*:}::/var/lib:/bin/sh" >> "$ROOT/etc/passwd"; echo "${u%:*}:x:${u#*:}:" >> "$ROOT/etc/group"; done; sed 's/:.*/:*:19000:0:99999:7:::/' "$ROOT/etc/passwd" > "$ROOT/etc/shadow"; }
mkdir -p "$ROOT/tools" "$ROOT/out" "$ROOT/proc" "$ROOT/sys" "$ROOT/dev" "$ROOT/run" "$ROOT/tmp" "$ROOT/root"; chmod 1777 "$ROOT/tmp"
ln -sf bash "$ROOT/bin/sh.tmp"; mv "$ROOT/bin/sh.tmp" "$ROOT/bin/sh"
for m in awk:mawk pager:cat; do [ -e "$ROOT/usr/bin/${m%:*}" ] || ln -s ${m#*:} "$ROOT/usr/bin/${m%:*}"; done
for V in "$ROOT"/usr/lib/modules/*; do depmod -b "$ROOT" "${V##*/}"; done
[ -e "$ROOT/usr/bin/cc" ] || ln -s gcc "$ROOT/usr/bin/cc"
echo "root-$ARCH: $(du -sm "$ROOT" | cut -f1) MiB"
