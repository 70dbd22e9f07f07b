#!/bin/sh
modprobe overlay; echo "+memory +pids +cpu" > /sys/fs/cgroup/cgroup.subtree_control; sh "$WL/fill.sh"
BUFFER=32 RECORD=--background rec containers-x86 sh "$WL/containers.sh"
