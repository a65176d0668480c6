#!/bin/bash
# Everyday work done in a mount and natively, with equal results: tar, git, a build, rsync, SQLite; and large walks.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: work.sh SNAPCTL_OVERLAY SOURCE_DIR
# shellcheck disable=SC2005,SC2016,SC2046,SC2119,SC2317
set -u
SOURCE=$(realpath -e "$2") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
quiet() { "$@" >/dev/null 2>&1; }

# What a tree is: names, types, modes, owners, sizes, times of files, link counts of files, targets, content.
describe() {
    (cd "$1" && find . -mindepth 1 \( -type d -printf '%P %y %m %U:%G\n' -o -printf '%P %y %m %U:%G %s %T@ %n %l\n' \) | LC_ALL=C sort &&
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum)
}
alike() { diff <(describe "$1") <(describe "$2") >"$scratch/difference" || { head -n 5 "$scratch/difference"; false; }; }

layers
mkdir native
cp -a "$SOURCE"/base "$SOURCE"/tests lower/
ln lower/base/err.c lower/base/err-again.c
ln -s base/err.c lower/link
mkfifo lower/fifo
setfattr -n user.color -v green lower/base/buf.c 2>/dev/null
cp -a lower/. native/
serve || exit 1
check "shows the tree" alike lower merged

# tar, there and back; git finds nothing to say about times and numbers after another mount.
tar cf out.tar -C merged .
mkdir merged/untar native/untar
check "untar" tar xf out.tar -C merged/untar
tar xf out.tar -C native/untar
check "tar gives what it gives natively" alike native merged
for where in merged native; do
    (cd $where && git init -q repo && cp -a base repo/ && cd repo && git add -A && git commit -qm one && git repack -adq && git checkout -qb x &&
        git mv base moved && sed -i s/int/long/ moved/*.c && git commit -qam two && git checkout -q - && git merge -q x && git gc -q) >/dev/null 2>&1
done
check "git's history is sound" quiet git -C merged/repo fsck --strict
same "git gives the same commit tree" "$(git -C native/repo rev-parse 'HEAD^{tree}')" "$(git -C merged/repo rev-parse 'HEAD^{tree}')"
check "git clone" quiet git clone -q merged/repo merged/clone
unserve
serve
same "nothing is modified after another mount" "" "$(git -C merged/repo status --porcelain)"
check "the clone is sound" quiet git -C merged/clone fsck --strict

# A build of a small tree.
for where in merged native; do
    mkdir $where/build
    for i in 1 2 3 4 5 6 7 8; do
        echo "#include \"common.h\"
int f$i(int x) { return x + COMMON; }" >$where/build/f$i.c
    done
    echo '#define COMMON 3' >$where/build/common.h
    printf 'all: lib.a\nlib.a: f1.o f2.o f3.o f4.o f5.o f6.o f7.o f8.o\n\trm -f $@\n\tar rcD $@ $^\n%%.o: %%.c common.h\n\t$(CC) -c -o $@ $<\n' >$where/build/Makefile
    check "make in $where" quiet make -j2 -C $where/build
done
check "gives the same archive" cmp merged/build/lib.a native/build/lib.a
same "make has nothing more to do" 0 "$(make -q -C merged/build; echo $?)"
touch merged/build/common.h
same "and sees what is newer" 1 "$(make -q -C merged/build; echo $?)"

# rsync, with hard links, ACLs and xattrs.
if command -v rsync >/dev/null; then
    mkdir merged/copy native/copy
    check "rsync into the mount" rsync -aHAX lower/ merged/copy/
    rsync -aHAX lower/ native/copy/
    check "as natively" alike native/copy merged/copy
    same "rsync finds nothing to do" "" "$(rsync -aHAXin --checksum lower/ merged/copy/)"
else
    skip "there is no rsync"
fi

# Removing everything, what is below too.
for entry in merged/* merged/.[!.]*; do rm -rf "$entry"; done
same "everything can be removed" "" "$(find merged -mindepth 1)"
unserve
same "nothing is left in work" "" "$(find work -mindepth 2)"

# SQLite in WAL mode: the database lies below, small writes take it across the copy.
if command -v sqlite3 >/dev/null; then
    layers
    sqlite3 lower/db "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t(x) SELECT hex(randomblob(100)) FROM n;" >/dev/null
    serve
    writer() { for ((i = 0; i < 60; i++)); do sqlite3 -cmd '.timeout 20000' merged/db "INSERT INTO t(x) VALUES('$1 $i'); UPDATE t SET x = x || 'u' WHERE id = $i + 1;" || echo lost; done; }
    (exec 3<merged/db; writer one & writer two & wait) >writers
    same "no write of SQLite fails" "" "$(cat writers)"
    same "every row is there" 5120 "$(sqlite3 merged/db 'SELECT count(*) FROM t')"
    same "the database is sound" ok "$(sqlite3 merged/db 'PRAGMA integrity_check')"
    unserve
    serve
    same "after another mount, too" "5120 ok" "$(echo $(sqlite3 merged/db 'SELECT count(*) FROM t; PRAGMA integrity_check'))"
    unserve
else
    skip "there is no sqlite3"
fi

# A walk holds nothing open.
layers
for ((i = 0; i < 50; i++)); do
    mkdir lower/$i
    (cd lower/$i && seq 400 | xargs touch)
done
serve
daemon=$(pgrep -n -f "^$OVERLAY .*merged")
find merged -printf '%s' >/dev/null
before=$(find /proc/"$daemon"/fd | wc -l)
same "all are seen" 20051 "$(find merged | wc -l)"
find merged -type f -print0 | head -z -n 5000 | xargs -0 cat
check "few descriptors stay open ($before)" test "$before" -lt 1100
same "and no more after reading" 1 "$(($(find /proc/"$daemon"/fd | wc -l) < 1300))"
unserve
finish
