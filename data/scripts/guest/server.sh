#!/bin/sh
# PostgreSQL under pgbench, Redis with snapshots, nginx under ab and a build, then memory filled
SPARSE=${SPARSE:-/sparse}; PG=/usr/lib/postgresql/17/bin; as() { setpriv --reuid=110 --regid=110 --clear-groups "$@"; }
as timeout 60 $PG/pgbench -h /tmp/pg -q -i -s 4 postgres > /dev/null 2>&1
as timeout 90 $PG/pgbench -h /tmp/pg -c 20 -j 2 -T 25 postgres 2>&1 | grep tps
as timeout 30 $PG/pgbench -h /tmp/pg -C -c 6 -S -T 15 postgres 2>&1 | grep tps
redis-cli -p 7399 debug populate 250000 key 800 > /dev/null
ab -q -k -c 8 -n 4000 http://127.0.0.1:8080/index.html > /dev/null 2>&1
timeout 60 redis-benchmark -p 7399 -q -c 10 -n 30000 -r 200000 set key:__rand_int__ x > /dev/null 2>&1 &
redis-cli -p 7399 bgsave > /dev/null
(cd /tmp/build && timeout 200 make -s -j3 2>&1 | tail -1) &
sleep 15; sh "$WL/pressure.sh" 50 "$1" & P=$!
as timeout 60 $PG/pgbench -h /tmp/pg -c 20 -j 2 -T 40 postgres 2>&1 | grep tps
redis-cli -p 7399 bgsave > /dev/null; ab -q -c 8 -n 600 http://127.0.0.1:8080/index.html > /dev/null 2>&1
wait $P; echo 3 > /proc/sys/vm/drop_caches; sleep 2
grep -E 'pgscan_kswapd |pgscan_direct ' /proc/vmstat >&2
