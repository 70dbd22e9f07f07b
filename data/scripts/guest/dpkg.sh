#!/bin/sh
# dpkg installs, checks, purges and installs again the packages of a folder, in a chroot made by debootstrap
C=/srv/chroot; mkdir -p $C/debs; mount --bind /srv/debs $C/debs; mount -t proc proc $C/proc; mount --bind /dev $C/dev
in_chroot() { timeout 280 chroot $C env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# shellcheck disable=SC2010 # packages have plain names
PACKAGES=$(cd $C && ls debs/*.deb | grep -E "/(git|git-man|liberror-perl|libcurl3|libngtcp2|libnghttp|libssh2|librtmp|libldap|libsasl2|libgnutls|libnettle|libhogweed|perl|libperl|libgdbm|libexpat|libbrotli|libpsl|libidn2|libunistring|libp11|libtasn1|libffi|libkrb5|libk5|libgssapi|libkeyutils|libcom-err|libssl|ca-cert|openssl|curl|rsync|libpopt|nano|less|lua5|tcl|libtcl|bzip2|file|libmagic|vim|libgpm|libsodium|python3|libpython3|media-types|netbase|tzdata|libreadline|readline|libsqlite|libncurses)[^/]*$" | sed 's/^/\//')
echo "$PACKAGES" | wc -l
# shellcheck disable=SC2086 # a list of files
in_chroot dpkg --force-depends -i $PACKAGES > /out/dpkg.log 2>&1
in_chroot dpkg --verify > /dev/null 2>&1
in_chroot dpkg --force-depends --purge git git-man curl rsync nano less vim-common file bzip2 >> /out/dpkg.log 2>&1
# shellcheck disable=SC2086 # a list of files
in_chroot dpkg --force-depends -i $PACKAGES >> /out/dpkg.log 2>&1
in_chroot apt-cache gencaches; in_chroot apt-cache dump > /dev/null; tail -n 3 /out/dpkg.log; grep -c '^Setting up' /out/dpkg.log
