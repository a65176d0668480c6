#!/bin/bash
# Every option row stands in the manual page of its command, every command in snapctl.1 with a page that exists, and no page
# has an option that no row has.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: man-covers-options.sh GENERATE MAN_DIR
set -u
rows=$("$1" rows) || exit 2
man=$2
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

# mdoc writes -x as `Fl x` and --word as `Fl -word`; several stand behind one Fl.
has_option() {
    grep -Eq -- "^\.(It|Op) .*(Fl|[|,]) ${2#-}( |$)" "$man/$1.1"
}

has_command() {
    grep -Eq -- "^\.It Cm $1( |$)" "$man/snapctl.1"
}

names_command() {
    grep -Eq -- "^\.Nm snapctl(-${2%% *})?( ,)?$" "$man/$1.1" && grep -Eq -- "^(\.Cm $2( |$)|\.It Cm $2( |$))" "$man/$1.1"
}

is_row() {
    grep -qxF -- "$1" <<<"$options"
}

while IFS=$'\t' read -r command page option; do
    if [ "$option" = - ]; then
        check "$command stands in snapctl.1" has_command "$command"
        check "$page.1 names $command" names_command "$page" "$command"
    else
        check "$command $option stands in $page.1" has_option "$page" "$option"
    fi
done <<<"$rows"

# The other way round: what a page lists with .It Fl.
while read -r page; do
    options=$(awk -F '\t' -v page="$page" '$2 == page { print $3 }' <<<"$rows")
    while read -r option; do
        check "$option of $page.1 is a row" is_row "$option"
    done < <(sed -n 's/^\.It Fl //p' "$man/$page.1" | tr ',' '\n' | sed -E 's/^ *([^ ]+).*/-\1/')
done < <(cut -f 2 <<<"$rows" | sort -u)

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
