#!/bin/bash
# The completions are accepted by their shells, and bash's offers commands, options and values.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: completions.sh GENERATE GENERATE_OVERLAY
set -u
generate=$1 overlay=$2
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
    "$overlay" "$shell" >"$scratch/overlay-$shell" || exit 2
    if ! command -v "$shell" >/dev/null; then
        echo "skipped: $shell is not installed"
        skipped=$((skipped + 1))
        continue
    fi
    check "$shell accepts it" 0 "$("$shell" -n "$scratch/$shell" 2>&1; echo $?)"
    check "$shell accepts that of snapctl-overlay" 0 "$("$shell" -n "$scratch/overlay-$shell" 2>&1; echo $?)"
done

offers() {
    bash -c 'source "$1" || exit; shift
        compopt() { :; }
        snapctl() {
            if [[ "$*" == *"workspace list"* ]]; then
                echo "{\"message_type\":\"mounted\",\"kind\":\"frozen\",\"workspace\":\"idea\",\"dir\":\"/x\"}"
            else
                echo "{\"message_type\":\"snapshot\",\"number\":12,\"name\":\"good\",\"parent\":3}"
            fi
        }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _snapctl
        echo "${COMPREPLY[*]}"' bash "$scratch/bash" "$@"
}

overlay_offers() {
    bash -c 'source "$1" || exit; shift
        compopt() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _snapctl_overlay
        echo "${COMPREPLY[*]}"' bash "$scratch/overlay-bash" "$@"
}

check "commands" "take tag" "$(offers snapctl ta)"
check "second words" "log" "$(offers snapctl op '')"
check "options" "--project --porcelain --patch" "$(offers snapctl -C / diff --p | tr ' ' '\n' | sort -r | xargs)"
check "options of every command" "--json" "$(offers snapctl take --j)"
check "no options of another command" "" "$(offers snapctl take --patch)"
check "values" "auto always" "$(offers snapctl --color a)"
check "snapshots" "12 good latest" "$(offers snapctl show '')"
check "names that begin so" "good" "$(offers snapctl diff go)"
check "workspaces" "idea" "$(offers snapctl apply '')"
check "workspaces to remove" "idea" "$(offers snapctl workspace remove '')"
check "what can be mounted" "12 good latest idea" "$(offers snapctl mount '')"
check "programs" "true" "$(offers snapctl run tru | tr ' ' '\n' | grep -x true | sort -u)"
check "options before a program" "--kill" "$(offers snapctl run --k)"
check "nothing for a message" "" "$(offers snapctl take -m '')"
cd "$scratch" && touch file-x || exit 2
check "paths after --" "file-x" "$(offers snapctl diff -- file)"
mkdir dir-x
check "where to mount" "dir-x" "$(offers snapctl mount good dir)"
check "what a program is given" "file-x" "$(offers snapctl run cat file)"
check "no options of ours after a program" "" "$(offers snapctl run cat --k)"
check "options of a mount" "upperdir=" "$(overlay_offers snapctl-overlay -o up)"
check "more options" "ro,workdir=" "$(overlay_offers snapctl-overlay -o ro,wo)"
check "values of one" "xino=off" "$(overlay_offers snapctl-overlay -o xino=of)"
check "directories of one" "lowerdir=dir-x/" "$(overlay_offers snapctl-overlay -o lowerdir=d)"
check "and the next" "ro,lowerdir=/:dir-x/" "$(overlay_offers snapctl-overlay -o ro,lowerdir=/:d)"
check "where an overlay goes" "dir-x" "$(overlay_offers snapctl-overlay d)"
check "its own options" "-f" "$(overlay_offers snapctl-overlay -f)"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
