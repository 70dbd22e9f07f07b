#!/bin/sh
D=$(mktemp -d)
page() { timeout 30 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$D/$1" --virtual-time-budget=4000 --screenshot="$D/$1.png" "file://$2" > /dev/null 2>&1; }
n=0
for html in $(find /usr/share/doc -name '*.html' -size +60k | sort | head -40); do
  n=$((n + 1)); page $n "$html" &
  [ $((n % 3)) = 0 ] && wait
done
wait; find "$D" -name '*.png' | wc -l >&2; rm -rf "$D"
