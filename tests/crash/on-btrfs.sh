#!/bin/bash
# The crash test's scenes with a subvolume, on a fresh btrfs in a file.
# Leaves nothing mounted and no file.   on-btrfs.sh CRASH SNAPCTL
# SPDX-License-Identifier: GPL-2.0-or-later
set -u
crash=$1 snapctl=$2
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "only root can mount"
command -v mkfs.btrfs >/dev/null || skip "there is no mkfs.btrfs(8)"
base=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-btrfs-XXXXXX") || exit 1
mounted=
trap '[ -z "$mounted" ] || umount "$base/disk" || umount -l "$base/disk"; rm -rf --one-file-system "$base"' EXIT
trap 'exit 130' INT TERM
mkdir "$base/disk"
truncate -s 600M "$base/image"
mkfs.btrfs -q "$base/image" >/dev/null 2>&1 || skip "btrfs cannot be made"
mount -o loop "$base/image" "$base/disk" 2>/dev/null || skip "btrfs cannot be mounted"
mounted=1
for scene in rollback-subvolume undo-subvolume; do
    CRASH_DIR=$base/disk "$crash" "$snapctl" $scene || exit 1
done
