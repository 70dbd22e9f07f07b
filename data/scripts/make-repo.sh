#!/bin/sh
# make-repo.sh SRC OUT: a git repository of 150 commits over Debian source packages, each commit editing many files
set -eu
SRC=$1 OUT=$2; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
rm -rf "$OUT"; mkdir -p "$OUT"; cd "$OUT"; git init -q -b main .
for p in redis-7.0.15 sqlite3-3.40.1 gettext-0.21; do cp -r "$SRC"/$p .; git add -A . ; git commit -qm "Add $p"; done
git ls-files | grep -E '\.(c|h|tcl|texi|po)$' > /tmp/list.$$
for i in $(seq 147); do
  awk -v i="$i" '(NR * 7919 + i * 104729) % 61 == 0' /tmp/list.$$ | while read -r f; do sed -i "$((i % 40 + 3))a /* edit $i of $f */" "$f"; done
  git commit -qam "Edit $i"; [ $((i % 15)) = 0 ] && git branch "topic-$i"
done; rm /tmp/list.$$; git count-objects -vH
