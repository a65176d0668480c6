#!/bin/bash
# A take in a workspace that is killed, and a server that is killed while one goes on: programs go on, and nothing is half-done.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: cut-killed.sh SNAPCTL_OVERLAY SNAPCTL INJECT      KILLS=n
# shellcheck disable=SC2005,SC2046,SC2317
set -u
snapctl=$(realpath -e "$2") inject=$(realpath -e "$3")
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

changes() { timeout 20 sh -c "echo $1 >>ws/f$1 && mv ws/f$1 ws/moved && mv ws/moved ws/f$1"; }
served_by() { "$snapctl" -C project --json mount | sed -n 's/.*"pid":\([0-9]*\).*/\1/p' | head -n 1; }
is_whole() {
    rm -rf copy
    check "$1: a take" "$snapctl" -C ws -q take -n "$2"
    check "$1: a copy" "$snapctl" -C project -q restore "$2:" ../copy
    check "$1: the copy is the workspace" diff -r ws copy
    check "$1: nothing is damaged" "$snapctl" -C project -q verify
}

# Everything changes, so that there is much to capture.
touch_all() { for file in ws/f*; do echo "$1" >>"$file"; done; }
store=$("$snapctl" -v -C project log -n 1 2>&1 >/dev/null | sed -n 's/^store: //p')
taking() { "$inject" "$@" -r "$store" -- "$snapctl" -C ws -q take --no-sync; }

# The command, at each of its changes to the store in turn, from the first to the last but a few.
touch_all count
count=$(taking count 2>&1 | tail -n 1)
check "there is something to stop at ($count)" test "$count" -gt "$kills"
for i in $(seq "$kills"); do
    touch_all "before $i"
    taking kill-before $((1 + (i - 1) * (count - 1) / (kills - 1))) 2>/dev/null
    check "programs go on after a killed take" changes "$i"
done
is_whole "killed takes" one

# The server, when so many files were captured.
captured() { find "$store/work" -type f 2>/dev/null | wc -l; }
for i in $(seq "$kills"); do
    touch_all "last $i"
    server=$(served_by)
    "$snapctl" -C ws -q take --no-sync 2>/dev/null &
    while [ "$(captured)" -lt $((i * 60 / kills)) ] && kill -0 $! 2>/dev/null; do :; done
    kill -9 "$server" 2>/dev/null
    wait $! 2>/dev/null
    umount -l ws
    check "mounted again" "$snapctl" -C project -q mount w ../ws
    same "what was written" "last $i" "$(tail -n 1 "ws/f$i")"
done
is_whole "killed servers" two
check "unmounted" "$snapctl" -q umount ws
finish
