#!/bin/sh
# apt-setup.sh ARCH: a separate apt configuration (own state and cache, empty status) for trixie of one architecture
set -eu
ARCH=$1; TOP=$APT/$ARCH
mkdir -p "$TOP/state/lists/partial" "$TOP/cache/archives/partial" "$TOP/etc/apt.conf.d" "$TOP/etc/preferences.d" "$TOP/etc/sources.list.d" "$TOP/etc/trusted.gpg.d"
: > "$TOP/status"
MIRROR=$(sed -n 's/^URIs: *\(.*debian\)$/\1/p' /etc/apt/sources.list.d/debian.sources | head -1)
SIGNED=/usr/share/keyrings/debian-archive-keyring.gpg
cat > "$TOP/etc/sources.list" <<X
deb [signed-by=$SIGNED] $MIRROR trixie main
deb [signed-by=$SIGNED] $MIRROR trixie-updates main
deb [signed-by=$SIGNED] $MIRROR trixie-backports main
X
cat > "$TOP/apt.conf" <<X
APT::Architecture "$ARCH";
APT::Architectures "$ARCH";
APT::Install-Recommends "false";
Dir::State "$TOP/state";
Dir::State::status "$TOP/status";
Dir::Cache "$TOP/cache";
Dir::Etc "$TOP/etc";
Debug::NoLocking "true";
Acquire::Languages "none";
X
APT_CONFIG=$TOP/apt.conf apt-get update
