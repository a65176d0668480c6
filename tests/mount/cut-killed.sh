#!/bin/bash
# A take in a workspace that is killed, and a server that is killed while one goes on: programs go on, and nothing is half-done.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: cut-killed.sh SNAPCTL_OVERLAY SNAPCTL      KILLS=n
# shellcheck disable=SC2005,SC2046,SC2317
set -u
snapctl=$(realpath -e "$2")
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts
export XDG_STATE_HOME=$scratch/state
kills=${KILLS:-12}
mkdir state project ws
seq 1000 >project/a
"$snapctl" -C project -q take -n base
"$snapctl" -C project -q workspace add --from base w ../ws
for i in $(seq 60); do seq "$i" 20000 >"ws/f$i"; done

# each time a little later
kill_after() {
    sleep "0.$(printf %03d $(($1 * 9 % 120)))"
    kill -9 "$2" 2>/dev/null
}
changes() { timeout 20 sh -c "echo $1 >>ws/f$1 && mv ws/f$1 ws/moved && mv ws/moved ws/f$1"; }
served_by() { "$snapctl" -C project --json mount | sed -n 's/.*"pid":\([0-9]*\).*/\1/p' | head -n 1; }
is_whole() {
    rm -rf copy
    check "$1: a take" "$snapctl" -C ws -q take -n "$2"
    check "$1: a copy" "$snapctl" -C project -q restore "$2:" ../copy
    check "$1: the copy is the workspace" diff -r ws copy
    check "$1: nothing is damaged" "$snapctl" -C project -q verify
}

for i in $(seq "$kills"); do
    echo before >>"ws/f$i"
    "$snapctl" -C ws -q take --no-sync 2>/dev/null &
    kill_after "$i" $!
    wait $! 2>/dev/null
    check "programs go on after a killed take" changes "$i"
done
is_whole "killed takes" one

for i in $(seq "$kills"); do
    echo "last $i" >>"ws/f$i"
    server=$(served_by)
    "$snapctl" -C ws -q take --no-sync 2>/dev/null &
    kill_after "$i" "$server"
    wait $! 2>/dev/null
    umount -l ws
    check "mounted again" "$snapctl" -C project -q mount w ../ws
    same "what was written" "last $i" "$(tail -n 1 "ws/f$i")"
done
is_whole "killed servers" two
check "unmounted" "$snapctl" -q umount ws
finish
