#!/bin/sh
PG=/usr/lib/postgresql/15/bin; D=$(mktemp -d); chown postgres "$D"; cd "$D" || exit
as() { runuser -u postgres -- "$@"; }
as $PG/initdb -D "$D/db" > /dev/null
as $PG/pg_ctl -D "$D/db" -o "-k $D -h '' -c max_connections=120 -c shared_buffers=1GB" -l "$D/log" -w start > /dev/null
as $PG/createdb -h "$D" bench
as $PG/pgbench -h "$D" -q -i -s 30 bench 2> /dev/null
as $PG/pgbench -h "$D" -c 60 -j 2 -T 15 bench > /dev/null 2>&1
as $PG/pgbench -h "$D" -C -c 8 -j 2 -T 6 -S bench > /dev/null 2>&1
sh "$WL/pressure.sh" 20 6000 & PRESSURE=$!
as $PG/pgbench -h "$D" -c 60 -j 2 -T 20 bench > /dev/null 2>&1
wait $PRESSURE
as $PG/pg_ctl -D "$D/db" -m fast -w stop > /dev/null; cd /; rm -rf "$D"
