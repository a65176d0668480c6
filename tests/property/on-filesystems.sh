#!/bin/bash
# The property test on file systems of each kind, in loop-mounted images where root allows it.
# Leaves nothing mounted, no file and no loop device.   on-filesystems.sh PROPERTY SNAPCTL
# SPDX-License-Identifier: GPL-2.0-or-later
set -u
property=$1 snapctl=$2
export SEEDS=${SEEDS:-0} STEPS=${STEPS:-400}
seed=${SEED:-1}
base=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-fs-XXXXXX") || exit 1
chmod 755 "$base"
mounted=()
passed=0 failed=0 skipped=0

clean() {
    local i
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
        umount "${mounted[i]}" || umount -l "${mounted[i]}"
    done
    rm -rf "$base"
}
trap clean EXIT
trap 'exit 130' INT TERM

skip() { echo "skipped: $1: $2"; skipped=$((skipped + 1)); }

# run NAME DIR: the test with its sandboxes in DIR
run() {
    echo "== $1, seed $seed"
    chmod 1777 "$2"
    if TMPDIR=$2 SEED=$seed "$property" "$snapctl"; then
        passed=$((passed + 1))
    else
        echo "FAILED on $1"
        failed=$((failed + 1))
    fi
}

# image NAME MKFS...: a fresh file system in a file
image() {
    local name=$1 dir=$base/$1 output
    shift
    command -v "$1" > /dev/null || { skip "$name" "$1 is not installed"; return; }
    mkdir "$dir"
    truncate -s 600M "$base/$name.img"
    output=$("$@" "$base/$name.img" 2>&1) || { skip "$name" "cannot be made: ${output##*$'\n'}"; return; }
    output=$(mount -o loop "$base/$name.img" "$dir" 2>&1) || { skip "$name" "cannot be mounted: $output"; return; }
    mounted+=("$dir")
    run "$name" "$dir"
}

# $base lies on a disk's file system, whatever it is; the images below are fresh
kind=$(stat -f -c %T "$base")
mkdir "$base/here"
run "$kind (the directory for temporary files)" "$base/here"

if [ "$(id -u)" != 0 ]; then
    if [ "$(stat -f -c %T /dev/shm 2> /dev/null)" = tmpfs ] && [ -w /dev/shm ]; then
        here=$(mktemp -d /dev/shm/snapctl-fs-XXXXXX) && run tmpfs "$here"
        rm -rf "$here"
    else
        skip tmpfs "/dev/shm is none"
    fi
    for name in ext4 xfs btrfs overlayfs; do
        skip "$name" "mounting takes root"
    done
else
    mkdir "$base/tmpfs"
    if mount -t tmpfs -o size=600m tmpfs "$base/tmpfs"; then
        mounted+=("$base/tmpfs")
        run tmpfs "$base/tmpfs"
    else
        skip tmpfs "cannot be mounted"
    fi
    image ext4 mkfs.ext4 -q
    image xfs mkfs.xfs -q
    image btrfs mkfs.btrfs -q
    mkdir "$base/lower" "$base/upper" "$base/work" "$base/overlayfs"
    if mount -t overlay overlay -o "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work" "$base/overlayfs" 2> /dev/null; then
        mounted+=("$base/overlayfs")
        run overlayfs "$base/overlayfs"
    else
        skip overlayfs "cannot be mounted on $kind"
    fi
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
