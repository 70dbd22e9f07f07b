#!/bin/sh
# phone-like: zram, a fork server, apps
gcc -O1 -o /tmp/zygote "$WL/zygote.c"
find /usr/lib/*-linux-gnu /usr/lib/llvm* -name '*.so.*' -type f -size +20k 2> /dev/null | grep -v -E 'san\.so|postgres|perl' | sort > /tmp/libraries; wc -l /tmp/libraries
sh "$WL/zram.sh" "${ZRAM:-600}" 100
rec "${NAME:-phone}" sh "$WL/phone.sh" "${APPS:-60}" "${FLOOR:-160}"
