#!/bin/bash
# Runs cases/NAME.sh and compares what each prints with cases/NAME.out.
# Refuses nothing to a case: each has a home, a state directory and a project of its own, gone afterwards.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh SNAPCTL CHECK_JSON [--update] [NAME...]
set -u
# a signal that is ignored from the start could never be trapped
[ -n "${SIGNALS_AS_USUAL-}" ] || SIGNALS_AS_USUAL=1 exec env --default-signal bash "$0" "$@"
here=$(cd "$(dirname "$0")" && pwd)
SNAPCTL=$(realpath -e "$1") || exit 2
CHECK_JSON=$(realpath -e "$2") || exit 2
shift 2
update=
if [ "${1-}" = --update ]; then
    update=1
    shift
fi
export SNAPCTL CHECK_JSON
if [ $# -eq 0 ]; then
    set -- "$here"/cases/*.sh
    set -- "${@##*/}"
    set -- "${@%.sh}"
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-cli.XXXXXX") || exit 2
# not into what a case may have left mounted
trap 'find "$scratch" -xdev -type d -exec chmod u+rwx {} + 2>/dev/null; rm -rf --one-file-system "$scratch"' EXIT
scratch=$(realpath "$scratch")

# What differs from machine to machine and from run to run.
normalise() {
    sed -E \
        -e 's/-[0-9a-f]{16}\b/-HASH/g' \
        -e "s#$scratch/[^/]*/#/HERE/#g" \
        -e 's/ in [0-9]+\.[0-9]+ s(;|$)/ in N s\1/' \
        -e 's/"seconds":[0-9.e-]+/"seconds":N/' \
        -e 's/20[2-9][0-9]-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g' \
        -e 's/20[2-9][0-9]-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}/TIME/g' \
        -e 's/\((0 reflinked, ([0-9]+) copied|([0-9]+) reflinked, 0 copied)/(\2\3 stored/' \
        -e 's/"reflinked":0,"copied":([0-9]+)/"stored":\1/' \
        -e 's/"reflinked":([0-9]+),"copied":0/"stored":\1/' \
        -e "s/\"uid\":$(id -u),\"gid\":$(id -g)/\"uid\":U,\"gid\":G/g" \
        -e "s/ $(id -un) +$(id -gn) +/ USER GROUP /" \
        -e 's/\b(pid|process) [0-9]+/\1 N/g' \
        -e 's/"pid":[0-9]+/"pid":N/g' \
        -e 's/\bsnapctl-(run-[0-9]+)-[a-zA-Z0-9]{6}\b/snapctl-\1-RANDOM/g'
}

run_case() {
    local name=$1 dir=$scratch/$1
    mkdir -p "$dir/home" "$dir/state" "$dir/project" "$dir/tmp" || return 2
    (
        cd "$dir/project" || exit 2
        unset PAGER SNAPCTL_PAGER LESS NO_COLOR SNAPCTL_STORE SNAPCTL_WORKSPACE XDG_CONFIG_HOME XDG_RUNTIME_DIR
        export HOME=$dir/home XDG_STATE_HOME=$dir/state TMPDIR=$dir/tmp LC_ALL=C TZ=UTC TERM=dumb HERE=$dir
        umask 022
        # shellcheck source=/dev/null
        . "$here/helpers.sh"
        # shellcheck source=/dev/null
        . "$here/cases/$name.sh"
        true
    ) >"$scratch/$name.got" 2>&1
}

passed=0 failed=0 skipped=0
for name in "$@"; do
    run_case "$name"
    code=$?
    if [ $code -eq 77 ]; then
        echo "skipped $name: $(tail -n 1 "$scratch/$name.got")"
        skipped=$((skipped + 1))
        continue
    fi
    normalise <"$scratch/$name.got" >"$scratch/$name.txt"
    [ -z "$update" ] || cp "$scratch/$name.txt" "$here/cases/$name.out"
    if [ $code -eq 0 ] && diff -u "$here/cases/$name.out" "$scratch/$name.txt"; then
        passed=$((passed + 1))
    else
        echo "failed $name (exit $code)"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
