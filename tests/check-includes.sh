#!/bin/bash
# Who may include whom: cli -> core -> {watcher, store} -> base -> include, and each foreign library in its own room.
# Reads #include lines only; what the linker sees is the business of meson and -fvisibility=hidden.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: check-includes.sh SOURCE_DIR
set -u
cd "$1" || exit 2

# The rooms whose headers a room may include, itself first.
declare -A reach=(
    [include]="include"
    [base]="base include"
    [store]="store base include"
    [watcher]="watcher base include"
    [core]="core core/overlay core/mount store watcher base include"
    [cli]="cli include base"
    [completions]="completions cli include base"
)
# A foreign header and the only files that may include it.
libraries=(
    "sqlite3.h store/*"
    "archive.h store/archive*"
    "archive_entry.h store/archive*"
    "nettle/* store/sha256*"
    "zlib.h store/archive_read*"
    "fuse*.h core/mount/*"
    "fuse3/* core/mount/*"
    "inotifytools/* watcher/*"
    "sys/inotify.h watcher/*"
    "sys/fanotify.h watcher/*"
    "git2* core/*"
    # a program has JSON to show, and the library has that of images to read
    "json-c/* @(cli/*|core/import_oci.c)"
    "termios.h cli/*"
    "curses.h cli/*"
)
faults=0

fault() {
    echo "$1: $2"
    faults=$((faults + 1))
}

quoted() {
    sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)".*/\1/p' "$1"
}

angled() {
    sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*<([^>]*)>.*/\1/p' "$1"
}

# The headers of the store through which sqlite3.h comes in, directly or not: no door.
sqlite_headers() {
    local known=" " header inner again=1
    while [ -n "$again" ]; do
        again=
        for header in store/*.h; do
            [[ $known == *" ${header#*/} "* ]] && continue
            for inner in $(angled "$header") $(quoted "$header"); do
                [ "$inner" = sqlite3.h ] || [[ $known == *" $inner "* ]] || continue
                known="$known${header#*/} "
                again=1
                break
            done
        done
    done
    echo "$known"
}

check_quoted() {
    local file=$1 room=$2 header other found
    for header in $(quoted "$file"); do
        found=
        for other in ${reach[$room]}; do
            [ -f "$other/$header" ] && found=$other && break
        done
        if [[ $header == */* ]]; then
            fault "$file" "\"$header\" is a path; a header is included by its name"
        elif [ -z "$found" ]; then
            fault "$file" "\"$header\" is no header of ${reach[$room]// /, }"
        elif [ "$found" = store ] && [ "$room" != store ] && [[ $inside_store == *" $header "* ]]; then
            fault "$file" "\"$header\" brings sqlite3.h along; it is the store's own"
        fi
    done
}

check_angled() {
    local file=$1 header rule
    for header in $(angled "$file"); do
        for rule in "${libraries[@]}"; do
            # shellcheck disable=SC2053
            [[ $header == ${rule% *} && $file != ${rule#* } ]] && fault "$file" "<$header> belongs to ${rule#* }"
        done
    done
}

check_opening() {
    head -n 1 "$1" | grep -Eq '^/\* [A-Za-z`]' || fault "$1" "does not begin with a comment that says what it is"
    head -n 40 "$1" | grep -Fq 'SPDX-License-Identifier: GPL-2.0-or-later' || fault "$1" "has no SPDX line"
}

inside_store=$(sqlite_headers)
passed=0 failed=0
while read -r file; do
    faults=0
    check_opening "$file"
    room=${file%%/*}
    if [ "$room" != tests ]; then
        if [ -n "${reach[$room]-}" ]; then
            check_quoted "$file" "$room"
            check_angled "$file"
        else
            fault "$file" "stands in no room"
        fi
    fi
    if [ $faults -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done < <(find . -name '.*' ! -name . -prune -o -path './build*' -prune -o -type f -name '*.[ch]' -print | sed 's,^\./,,' | sort)
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
