#!/bin/bash
# Measures a mount against the native file system, the kernel's overlayfs and fuse-overlayfs, in turns in one run; prints seconds, and
# in brackets how many times as long as natively. By root, and for those that a user can mount, by nobody.
# Changes nothing but its own image, mounts and temporary directory, which are gone afterwards; takes root.
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

usage() {
    cat <<TEXT
usage: mount.sh [OPTION]...
  --quick             a small tree, one round: to see that it works, not how fast it is
  --program FILE      the snapctl-overlay to measure; default: built into build-bench, optimised
  -o FILE             where the table goes; default: standard output
TEXT
}

entries=20000 rounds=3 megabytes=512 program='' output=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) entries=2000 rounds=1 megabytes=64 ;;
    --program) program=$(realpath "${2:?}") && shift ;;
    -o) output=$(realpath -m "${2:?}") && shift ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || die "mounting file systems takes root"
"$top/scripts/deps.sh" build test bench
if [ -z "$program" ]; then
    release_build "$top/build-bench" -Dtests=disabled
    program=$top/build-bench/cli/snapctl-overlay
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-bench.XXXXXX")
chmod 755 "$work"
fuse_mode=$(stat -c %a /dev/fuse)
clean() {
    cd /
    umount -l "$work/fs/merged" 2>/dev/null || true
    umount -l "$work/fs" 2>/dev/null || true
    chmod "$fuse_mode" /dev/fuse
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
chmod 666 /dev/fuse
truncate -s 6G "$work/image"
mkfs.ext4 -q -F "$work/image"
mkdir "$work/fs" "$work/results"
mount -o loop "$work/image" "$work/fs"
cd "$work/fs"

# The tree below, an archive of it, and a repository.
mkdir tree
for ((i = 0; i < entries / 20; i++)); do
    mkdir -p "tree/$((i % 50))/$i"
    for ((j = 0; j < 18; j++)); do
        printf '%04000d\n' $((i * j)) >"tree/$((i % 50))/$i/file$j.c"
    done
done
tar cf tree.tar -C tree .
printf '[safe]\n\tdirectory = *\n' >gitconfig
export GIT_CONFIG_GLOBAL=$work/fs/gitconfig GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q repo
cp -a tree/. repo/
git -C repo add -A
git -C repo commit -q -m all
mkdir build
for ((i = 0; i < 40; i++)); do echo "int f$i(int x) { return x + $i; }" >build/f$i.c; done
printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n' >build/Makefile
chmod -R a+rX .

user=()
run() { "${user[@]}" "$@"; }
begin() {
    umount -l merged 2>/dev/null || true
    rm -rf lower upper over merged
    mkdir lower upper over merged
    cp -al tree lower/tree
    cp -a build lower/build
    chown nobody:nogroup lower upper over merged
    chown -R nobody:nogroup lower/build
    user=()
    case $1 in
    native) cp -a lower/. merged/ ;;
    overlayfs) mount -t overlay none merged -o lowerdir=lower,upperdir=upper,workdir=over,userxattr ;;
    fuse-overlayfs) fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=over merged 2>/dev/null ;;
    snapctl) "$program" -o lowerdir=lower,upperdir=upper,workdir=over merged ;;
    *-user)
        user=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --)
        begin_user "$1"
        ;;
    esac
}
begin_user() {
    case $1 in
    fuse-overlayfs-user) run fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=over merged 2>/dev/null ;;
    snapctl-user) run "$program" -o lowerdir=lower,upperdir=upper,workdir=over merged ;;
    esac
}
cold() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
}
walk() { run find merged/tree -printf '%s'; }
cat_all() { run find merged/tree -type f -exec cat {} +; }
rows=(cold-walk warm-walk read-all read-again unpack chmod remove clone build write read random-write)
work_cold-walk() { walk; }
work_warm-walk() { walk; }
work_read-all() { cat_all; }
work_read-again() { cat_all; }
work_unpack() { run mkdir merged/unpacked && run tar xf tree.tar --no-same-owner -C merged/unpacked; }
work_chmod() { run find merged/unpacked -type f -exec chmod 600 {} +; }
work_remove() { run rm -rf merged/unpacked; }
work_clone() { run git clone -q --no-hardlinks repo merged/clone; }
work_build() { run make -s -j2 -C merged/build CC="gcc -O0"; }
work_write() { run dd if=/dev/zero of=merged/big bs=1M count="$megabytes" conv=fsync; }
work_read() { run dd if=merged/big of=/dev/null bs=1M; }
work_random-write() { run perl -e 'open(F, "+<", "merged/big") or die; srand(1); for (1..20000) { seek(F, 4096 * int(rand($ARGV[0] * 256)), 0); syswrite(F, "x" x 4096) }' "$megabytes"; }

measure() {
    local row from to
    begin "$1"
    cold
    for row in "${rows[@]}"; do
        from=$(date +%s%N)
        "work_$row" >/dev/null 2>"$work/error" || { cat "$work/error" >&2; die "$1: $row failed"; }
        to=$(date +%s%N)
        echo $((to - from)) >>"$work/results/$1.$row"
    done
    umount merged 2>/dev/null || umount -l merged 2>/dev/null || true
}
kinds=(native overlayfs fuse-overlayfs snapctl fuse-overlayfs-user snapctl-user)
for ((round = 0; round < rounds; round++)); do
    for kind in "${kinds[@]}"; do
        say "round $((round + 1)): $kind"
        measure "$kind"
    done
done >&2

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
{
    printf '| work |'
    printf ' %s |' "${kinds[@]}"
    printf '\n| --- |'
    printf ' --- |%.0s' "${kinds[@]}"
    for row in "${rows[@]}"; do
        printf '\n| %s |' "${row//-/ }"
        base=$(median "$work/results/native.$row")
        for kind in "${kinds[@]}"; do
            awk -v t="$(median "$work/results/$kind.$row")" -v b="$base" 'BEGIN { printf " %.3f (%.1f) |", t / 1e9, t / b }'
        done
    done
    echo
} >"$work/table"
if [ -n "$output" ]; then cp "$work/table" "$output"; else cat "$work/table"; fi
