#!/bin/sh
D=$(mktemp -d); cd "$D" || exit
redis-server --port 7399 --bind 127.0.0.1 --save '' --dir "$D" --daemonize yes --pidfile "$D/pid" --logfile "$D/log" --enable-debug-command yes > /dev/null
trap 'kill $BENCH; redis-cli -p 7399 shutdown nosave; rm -rf "$D"' EXIT
cli() { redis-cli -p 7399 "$@" > /dev/null; }
sleep 1; cli debug populate 1500000 key 1000
snapshot() { cli bgsave; while redis-cli -p 7399 info persistence | grep -q 'rdb_bgsave_in_progress:1'; do sleep 0.5; done; }
redis-benchmark -p 7399 -q -c 20 -n 100000000 -r 1500000 -d 1000 set key:__rand_int__ x > /dev/null 2>&1 & BENCH=$!
snapshot
sh "$WL/pressure.sh" 30 4000 & PRESSURE=$!
snapshot; snapshot
wait $PRESSURE
