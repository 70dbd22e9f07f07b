#!/bin/sh
cd "$SRC/redis-7.0.15" && make -j4 MALLOC=libc OPTIMIZATION=-O1 > /dev/null 2>&1 & BUILD=$!
sleep 20; for _ in 1 2 3; do echo 2 > /proc/sys/vm/drop_caches; sleep 4; echo 1 > /proc/sys/vm/drop_caches; sleep 2; echo 3 > /proc/sys/vm/drop_caches; sleep 4; done
wait $BUILD
