#!/bin/bash
# Builds with warnings as errors and runs the tests; the last line is the sum, `N passed, N failed, N skipped`.
# Installs missing Debian packages first (scripts/deps.sh) and nothing else; writes only to the build directory.
# SPDX-License-Identifier: GPL-2.0-or-later
set -uo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<TEXT
usage: test.sh [OPTION]... [TEST...]
  -b, --build-dir DIR     default: build-test in the source tree
  -s, --suite NAME        only this suite (unit, cli, style, overlay, property, ...); may be given again
  -l, --list              list the tests and end
      --no-deps           install nothing
      --cc COMPILER       default: \$CC, else gcc
  -D OPTION=VALUE         for meson, as in -D b_sanitize=address
TEST: names of tests, as --list shows them; default: all
TEXT
}

dir=$top/build-test deps=1 list=
suites=() options=()
cc=${CC:-gcc}
while [ $# -gt 0 ]; do
    case $1 in
    -b | --build-dir) dir=${2:?} && shift ;;
    -s | --suite) suites+=(--suite "${2:?}") && shift ;;
    -l | --list) list=1 ;;
    --no-deps) deps= ;;
    --cc) cc=${2:?} && shift ;;
    -D) options+=("-D${2:?}") && shift ;;
    -D*) options+=("$1") ;;
    -h | --help) usage && exit ;;
    -*) usage >&2 && exit 2 ;;
    *) break ;;
    esac
    shift
done

if [ -n "$deps" ]; then
    "$top/scripts/deps.sh" build test || exit 2
fi
say "build: $cc -Werror"
export CC=$cc
if ! setup_build "$dir" -Dwerror=true "${options[@]}" || ! build "$dir"; then
    echo "0 passed, 1 failed, 0 skipped: the build"
    exit 1
fi
if [ -n "$list" ]; then
    meson test -C "$dir" --no-rebuild --list "${suites[@]}"
    exit
fi
say "tests"
run_tests "$dir" "${suites[@]}" "$@"
