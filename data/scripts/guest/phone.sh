#!/bin/sh
# apps started from a fork server, some at a time in the foreground, killed when little memory is left
timeout 260 /tmp/zygote "$1" "$2" < /tmp/libraries >&2
grep -E 'pswpin|pswpout|pgscan_kswapd |pgscan_direct |oom_kill' /proc/vmstat >&2
