#!/bin/sh
D=$(mktemp -d); javac -d "$D" "$WL/Heap.java"
java -XX:+UseG1GC -Xms64m -Xmx6g -XX:MinHeapFreeRatio=5 -XX:MaxHeapFreeRatio=10 -XX:G1PeriodicGCInterval=1000 -cp "$D" Heap "$D" "$WL/Heap.java"
sh "$WL/pressure.sh" 30 6000 & PRESSURE=$!
java -XX:+UseZGC -XX:+ZUncommit -XX:ZUncommitDelay=1 -Xms64m -Xmx5g -cp "$D" Heap "$D" "$WL/Heap.java"
echo 3 > /proc/sys/vm/drop_caches
wait $PRESSURE; rm -rf "$D"
