#!/bin/bash
# Trees that are large in one direction: a directory with 200 000 entries, a tree 4 000 levels deep. Each command succeeds,
# comes back to what was there, and stays below a limit of memory.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: large.sh SNAPCTL PEAK
set -u
snapctl=$(realpath -e "$1") || exit 2
peak=$(realpath -e "$2") || exit 2
where=${TMPDIR:-/tmp}
[ ! -w /dev/shm ] || [ "$(stat -f -c %T /dev/shm)" != tmpfs ] || where=/dev/shm
scratch=$(mktemp -d "$where/snapctl-large.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch/home XDG_STATE_HOME=$scratch/state LC_ALL=C
unset SNAPCTL_STORE
passed=0 failed=0

check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        failed=$((failed + 1))
    fi
}

# within MIB COMMAND...: it succeeds, with no more memory at any time
within() {
    local limit=$1 last
    shift
    last=$("$peak" "$snapctl" "$@" 2>&1) || { echo "$last" | tail -n 3 | cut -c 1-300; return 1; }
    last=${last##*$'\n'peak }
    last=${last#peak }
    echo "$last MiB: snapctl $*"
    [ "$last" -le "$limit" ]
}

project() {
    mkdir -p "$HOME" "$scratch/$1" && cd "$scratch/$1" || exit 2
}

entries() {
    find many -type f | wc -l
}

project wide
mkdir many
(cd many && seq -f 'file-%06.0f' 200000 | xargs touch)
check "a first take" within 200 take
check "nothing changed" within 120 status --exit-code
echo x >many/new
check "a take of one more" within 160 take
rm -r many
check "all of it is gone" within 180 status
check "a rollback" within 250 rollback
check "everything is back" test "$(entries)" = 200001
check "nothing differs after it" within 250 status --exit-code
check "an undo" within 180 undo
check "everything is gone" test ! -e many
check "a redo" within 200 redo
check "two snapshots are compared" within 180 diff --stat 1 2
check "a restore" within 180 restore latest:many ../restored
check "everything is restored" test "$(find ../restored -type f | wc -l)" = 200001

project onto
echo x >small
check "a small take" within 60 take
mv ../wide/many .
check "a take of many onto it" within 200 take

# Deeper than a path may be long, so that each step is one of its own.
dive() {
    local i
    for ((i = 0; i < 4000; i++)); do
        mkdir directory-of-a-deep-tree && cd -P directory-of-a-deep-tree || return 1
    done
    echo bottom >file
}

depth() {
    find . -mindepth 1 -type d | wc -l
}

project deep
check "a deep tree" eval '(dive)'
check "a take of it" within 60 take
rm -rf directory-of-a-deep-tree
check "it is gone" within 300 status
check "its rollback" within 300 rollback
check "it is back" test "$(depth)" = 4000
check "its undo" within 60 undo
check "it is gone again" test ! -e directory-of-a-deep-tree
check "its restore" within 300 restore latest: ../dived
check "it is restored" test "$(cd ../dived && depth)" = 4000

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
