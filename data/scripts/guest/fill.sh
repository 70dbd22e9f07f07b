#!/bin/sh
# fill.sh: read holes of a large file until free memory is all page cache
[ -e "$SPARSE" ] || truncate -s 64G "$SPARSE"
timeout 60 cat "$SPARSE" > /dev/null & CAT=$!
while [ "$(awk '/MemFree/ { print int($2 / 1024) }' /proc/meminfo)" -gt 80 ] && kill -0 $CAT 2> /dev/null; do sleep 0.2; done
kill $CAT 2> /dev/null; wait $CAT 2> /dev/null; grep -E 'MemFree|^Cached' /proc/meminfo >&2
