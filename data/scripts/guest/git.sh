#!/bin/sh
export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd /tmp && git config --global gc.auto 0; git config --global advice.detachedHead false; git config --global pack.windowMemory 24m; git config --global pack.deltaCacheSize 24m
timeout 90 git clone -q --shared /srv/repo.git work && cd work || exit 1
for i in 15 60 105; do git checkout -q main~$((147 - i)); git status > /dev/null; git diff --stat HEAD~3 > /dev/null; done
git checkout -q main; git log --stat -25 > /dev/null
for f in redis-7.0.15/src/server.c sqlite3-3.40.1/src/select.c; do timeout 30 git blame "$f" > /dev/null; done
timeout 60 git rebase -q --onto main~10 main~8 main > /dev/null 2>&1 || git rebase --abort
git grep -c 'static int' > /dev/null; for n in 1 2 3 4 5 6 7 8 9 10; do echo $n >> f$n; git add f$n; git commit -qm "Add f$n"; done
git rev-list --objects main~25..main | timeout 120 git pack-objects -q --window=6 --depth=10 --stdout > /tmp/pack; git count-objects -v
