#!/bin/sh
mkdir -p /tmp/pg /tmp/build /var/lib/nginx /var/log/nginx /var/www /tmp/redis; chown 110:110 /tmp/pg; PG=/usr/lib/postgresql/17/bin
as() { setpriv --reuid=110 --regid=110 --clear-groups "$@"; }
(cd /tmp/build && sh "$WL/build/gen.sh" 24)
# shellcheck disable=SC2015 # a failure of either shows the log
cd /tmp/pg && as $PG/initdb -D /tmp/pg/db > /tmp/pg/init.log 2>&1 || tail -3 /tmp/pg/init.log; as timeout 100 $PG/pg_ctl -D /tmp/pg/db -o "-k /tmp/pg -h '' -c max_connections=60 -c shared_buffers=${SHARED:-256MB}" -l /tmp/pg/log -w start > /dev/null; tail -2 /tmp/pg/log; cd /
redis-server --port 7399 --bind 127.0.0.1 --save '' --dir /tmp/redis --daemonize yes --enable-debug-command yes > /dev/null
head -c 60000 /dev/urandom | base64 > /var/www/index.html
printf 'worker_processes 2;\nerror_log /dev/null;\npid /run/nginx.pid;\nevents {}\nhttp { access_log off; server { listen 127.0.0.1:8080; root /var/www; } }\n' > /tmp/nginx.conf; echo www-data >/dev/null; nginx -c /tmp/nginx.conf; sleep 1
sh "$WL/fill.sh"
rec "${NAME:-server}" sh "$WL/server.sh" "${VM:-900}"
