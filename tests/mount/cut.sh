#!/bin/bash
# Snapshots of a workspace whose database is being written: each shows one instant.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: cut.sh SNAPCTL_OVERLAY SNAPCTL CUT_SQLITE      TAKES=n (of each kind)
snapctl=$(realpath -e "$2") sqlite=$(realpath -e "$3")
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts
export XDG_STATE_HOME=$scratch/state
mkdir "$XDG_STATE_HOME"
for mode in wal full mmap delete; do
    mkdir "$scratch/$mode"
    cd "$scratch/$mode" || exit 2
    check "a database, $mode" "$sqlite" "$snapctl" "$mode" "${TAKES:-8}"
    check "nothing is damaged, $mode" "$snapctl" -C project -q verify
    check "unmounted, $mode" "$snapctl" -q umount ws
done
cd "$scratch" || exit 2
finish
