#!/bin/sh
for package in sqlite3-3.40.1 gettext-0.21/libtextstyle gettext-0.21/gettext-runtime/libasprintf; do
  D=$(mktemp -d); (cd "$D" && "$SRC/$package/configure" > /dev/null); rm -rf "$D"
done
