#!/bin/bash
# An export cut short, or whose writing fails, at each of its changes in turn: then FILE is absent, or whole, or what it was
# before; a failure leaves nothing beside it that is not named, and the store is never touched.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: cut-short.sh SNAPCTL INJECT
set -u
snapctl=$(realpath -e "$1") || exit 2
inject=$(realpath -e "$2") || exit 2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-cut.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
export SNAPCTL_STORE=$scratch/store XDG_STATE_HOME=$scratch/state LC_ALL=C
passed=0 failed=0

mkdir "$scratch/project" "$scratch/out" "$scratch/right" && cd "$scratch/project" || exit 2
head -c 3000000 /dev/urandom >big
mkdir dir
echo one >dir/a
ln dir/a b
truncate -s 1M hole
"$snapctl" -q take || exit 1
echo two >>dir/a
rm b
"$snapctl" -q take || exit 1
for name in x.tar x.tar.gz x.oci x.oci.tar x.mtree; do
    "$snapctl" -q export 1 -o "$scratch/right/$name" || exit 1
done
echo before >"$scratch/before"

store_state() {
    (cd "$scratch/store" && find . -path ./run -prune -o -type f ! -name 'store.db-*' -exec sha256sum {} + | sort)
}
store_before=$(store_state)

fault() {
    echo "failed: $*"
    failed=$((failed + 1))
    bad=1
}

is_right() {
    diff -r "$scratch/right/$1" "$scratch/out/$1" >/dev/null 2>&1
}

# one NAME MODE K [OPTION]...
one() {
    local name=$1 mode=$2 k=$3 code left before=
    shift 3
    rm -rf "$scratch/out"
    mkdir "$scratch/out"
    [ $# -eq 0 ] || { cp "$scratch/before" "$scratch/out/$name" && before=$scratch/before; }
    "$inject" "$mode" "$k" -r "$scratch/out" -- "$snapctl" export 1 -o "$scratch/out/$name" "$@" >"$scratch/said" 2>&1
    code=$?
    bad=
    if [ -e "$scratch/out/$name" ] && ! is_right "$name"; then
        cmp -s "${before:-/dev/null}" "$scratch/out/$name" || fault "$name $mode $k: it is half there"
    fi
    [ -z "$before" ] || [ -e "$scratch/out/$name" ] || fault "$name $mode $k: what was there is gone"
    [ $code -ne 0 ] || is_right "$name" || fault "$name $mode $k: it says that it is done"
    if [[ $mode != kill-* ]]; then
        left=$(find "$scratch/out" -mindepth 1 -maxdepth 1 ! -name "$name" -printf '%f\n')
        [ -z "$left" ] || grep -q "beside it $left is left over" "$scratch/said" || fault "$name $mode $k: something is left beside it"
        [ $code -eq 0 ] || [ $code -eq 2 ] || fault "$name $mode $k: exit status $code"
    fi
    [ -n "$bad" ] || passed=$((passed + 1))
}

# all NAME [OPTION]...
all() {
    local name=$1 count k mode
    rm -rf "$scratch/out"
    mkdir "$scratch/out"
    count=$("$inject" count -r "$scratch/out" -- "$snapctl" -q export 1 -o "$scratch/out/$name" 2>&1 | tail -n 1)
    [ "$count" -gt 0 ] || fault "$name: its changes cannot be seen"
    for mode in kill-before kill-after EIO ENOSPC; do
        for ((k = 1; k <= count; k++)); do
            one "$name" $mode $k "${@:2}"
        done
    done
}

all x.tar
all x.tar --overwrite
all x.tar.gz
all x.mtree
all x.oci
all x.oci.tar
[ "$(store_state)" = "$store_before" ] || fault "the store is not what it was"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
