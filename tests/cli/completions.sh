#!/bin/bash
# The completions are accepted by their shells, and bash's offers commands, options and values.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: completions.sh GENERATE
set -u
generate=$1
passed=0 failed=0 skipped=0
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

check() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        printf 'failed: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
        failed=$((failed + 1))
    fi
}

for shell in bash zsh fish; do
    "$generate" "$shell" >"$scratch/$shell" || exit 2
    if ! command -v "$shell" >/dev/null; then
        echo "skipped: $shell is not installed"
        skipped=$((skipped + 1))
        continue
    fi
    check "$shell accepts it" 0 "$("$shell" -n "$scratch/$shell" 2>&1; echo $?)"
done

offers() {
    bash -c 'source "$1" || exit; shift
        compopt() { :; }
        snapctl() { echo "{\"message_type\":\"snapshot\",\"number\":12,\"name\":\"good\",\"parent\":3}"; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _snapctl
        echo "${COMPREPLY[*]}"' bash "$scratch/bash" "$@"
}

check "commands" "take tag" "$(offers snapctl ta)"
check "second words" "log" "$(offers snapctl op '')"
check "options" "--project --porcelain --patch" "$(offers snapctl -C / diff --p | tr ' ' '\n' | sort -r | xargs)"
check "options of every command" "--json" "$(offers snapctl take --j)"
check "no options of another command" "" "$(offers snapctl take --patch)"
check "values" "auto always" "$(offers snapctl --color a)"
check "snapshots" "12 good latest" "$(offers snapctl show '')"
check "names that begin so" "good" "$(offers snapctl diff go)"
check "nothing for a message" "" "$(offers snapctl take -m '')"
cd "$scratch" && touch file-x || exit 2
check "paths after --" "file-x" "$(offers snapctl diff -- file)"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
