#!/bin/bash
# stress-ng's file-system stressors, a short round each: no hang, no growth of descriptors, nothing left behind.
# ROUNDS=N goes round more often. SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: stress.sh SNAPCTL_OVERLAY
# shellcheck disable=SC2119,SC2317
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts
command -v stress-ng >/dev/null || skip_all "there is no stress-ng"

layers
serve || exit 1
daemon=$(pgrep -n -f "^$OVERLAY .*merged")
count() { find /proc/"$daemon"/fd | wc -l; }
round() {
    local stressor
    for stressor in access chdir chmod chown copy-file dentry dir dirdeep dup fallocate fcntl fiemap filename flock fpunch fstat getdent \
        hdd inode-flags link lockf mknod mmap open rename seek sendfile symlink sync-file touch truncate utime xattr; do
        timeout 60 stress-ng --temp-path merged --"$stressor" 2 --"$stressor"-ops 300 --timeout 3 >stress.log 2>&1 && continue
        grep -q -e 'unrecognized option' -e 'skipping' stress.log && continue
        grep -h -e fail: -e error: stress.log | head -n 3
        echo "stress-ng --$stressor"
        return 1
    done
}
check "a first round" round
first=$(count)
for ((i = 0; i < ${ROUNDS-1}; i++)); do
    check "another round" round
done
check "descriptors do not grow ($first, then $(count))" test "$(count)" -le $((first + 64))
find merged -mindepth 1 -maxdepth 1 -exec rm -rf {} +
check "unmounts" unserve
same "nothing is left in the upper layer" "" "$(find upper -mindepth 1)"
same "nor in work" "" "$(find work -mindepth 2)"
finish
