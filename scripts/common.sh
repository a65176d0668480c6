# What the scripts have in common: where the tree is, how a build is made, how its tests are run and counted.
# Sourced, not run; does nothing by itself.
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LC_ALL=C.UTF-8

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# setup_build DIR [MESON_OPTION...]: configures DIR anew, or as it was when it is there; quiet unless it fails
setup_build() {
    local dir=$1 log
    shift
    [ -f "$dir/build.ninja" ] && set -- --reconfigure "$@"
    log=$(meson setup "$@" "$dir" "$top" 2>&1) || {
        printf '%s\n' "$log"
        return 1
    }
}

# build DIR [NINJA_ARGUMENT...]: quiet unless it fails
build() {
    local dir=$1 log
    shift
    log=$(ninja -C "$dir" -k 0 "$@" 2>&1) || {
        printf '%s\n' "$log" | grep -vE '^\[[0-9]+/[0-9]+\]' | head -n 100
        return 1
    }
}

# release_build DIR [MESON_OPTION...]: what is measured; or nothing goes on
release_build() {
    local dir=$1
    shift
    setup_build "$dir" -Dbuildtype=release "$@" || die "the build could not be configured"
    build "$dir" || die "the build failed"
}

# run_tests DIR [MESON_TEST_ARGUMENT...]: runs what is asked for, then prints the end of each failed log, what was skipped,
# and last `N passed, N failed, N skipped`
run_tests() {
    local dir=$1
    shift
    rm -f "$dir/meson-logs/testlog.json"
    meson test -C "$dir" --no-rebuild "$@"
    python3 "$top/scripts/tally.py" "$dir/meson-logs/testlog.json"
}
