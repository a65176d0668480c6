#!/bin/bash
# Measures what a watcher is worth and what it costs: take and status against git's ways to know what changed, its start, its memory, and
# how much longer others take in a tree that is watched. In turns, in one run, on a fresh ext4; prints medians in milliseconds.
# Changes nothing but its own image, mount and temporary directory, which are gone afterwards; takes root.
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

usage() {
    cat <<TEXT
usage: watch.sh [OPTION]...
  --quick             a small tree, few runs: to see that it works, not how fast it is
  --entries N         so many entries; default 76000. Past what this machine's /usr has, small files are made up
  --program FILE      the snapctl to measure; default: built into build-bench, optimised
  -o FILE             where the table goes; default: standard output
TEXT
}

entries=76000 runs=15 sources=400 program='' output=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) entries=3000 runs=3 sources=20 ;;
    --entries) entries=${2:?} && shift ;;
    --program) program=$(realpath "${2:?}") && shift ;;
    -o) output=$(realpath -m "${2:?}") && shift ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || die "mounting file systems takes root"
"$top/scripts/deps.sh" build bench
if [ -z "$program" ]; then
    release_build "$top/build-bench" -Dtests=disabled
    program=$top/build-bench/cli/snapctl
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-bench.XXXXXX")
tree=$work/fs/tree
clean() {
    cd /
    [ ! -d "$tree" ] || { snap watch stop && git_monitor stop; } >/dev/null 2>&1 || true
    umount "$work/fs" 2>/dev/null || umount -l "$work/fs" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
truncate -s $((8 + entries / 100000))G "$work/image"
mkfs.ext4 -q -F -i 4096 -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
mkdir "$work/fs" "$work/results"
mount -o loop "$work/image" "$work/fs"
mkdir "$work/fs/out"
export HOME=$work/fs/out XDG_STATE_HOME=$work/fs/out/state GIT_DIR=$work/fs/out/git GIT_WORK_TREE=$tree GIT_CONFIG_NOSYSTEM=1

snap() { "$program" -q -C "$tree" "$@"; }
flush() { sync -f "$work/fs"; }
git_monitor() { git fsmonitor--daemon "$1"; }

# The tree, what is built in it, and a repository of it.
made_up() {
    python3 - "$tree/made-up" "$1" <<'TEXT'
import os, sys
top, left = sys.argv[1], int(sys.argv[2])
number = 0
while left > 0:
    path = f'{top}/{number % 100}/{number}'
    os.makedirs(path)
    for i in range(min(19, max(left - 1, 0))):
        with open(f'{path}/{i}', 'w') as file:
            file.write(f'{number} {i}\n')
    left -= 20
    number += 1
TEXT
}
say "making $entries entries" >&2
"$top/bench/tree.sh" "$tree" "$entries"
have=$(find "$tree" -mindepth 1 | wc -l)
[ "$have" -ge "$entries" ] || made_up $((entries - have))
mkdir "$tree/built"
for ((i = 0; i < sources; i++)); do echo "int f$i(int x) { return x + $i; }" >"$tree/built/f$i.c"; done
# shellcheck disable=SC2016
printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n' >"$tree/built/Makefile"
git init -q
git config gc.auto 0
git config user.name bench
git config user.email bench@localhost
git add -A -f . && git commit -q -m one
(cd "$tree" && find . -type f -links 1 -size -64k ! -path './built/*' | LC_ALL=C sort) >"$work/files"
awk -v step=$(($(wc -l <"$work/files") / 10)) 'NR % step == 0 && ++n <= 10' "$work/files" >"$work/ten"
awk 'NR % 20 == 0' "$work/files" >"$work/many"
while read -r file; do echo more >>"$tree/$file"; done <"$work/many"
git commit -q -a -m two
git tag two && git tag one HEAD~1
snap init && snap take
flush

# What is run before each time.
export program tree work
change_ten() {
    local file
    while read -r file; do date +%N >>"$tree/$file"; done <"$work/ten"
    sync -f "$work/fs"
}
make_clean() { rm -f "$tree"/built/*.o; }
at_one() { git checkout -q -f one; }
not_watched() { "$program" -q -C "$tree" watch stop; }
export -f change_ten make_clean at_one not_watched

# measure ROW KIND PREPARE COMMAND: so many runs; PREPARE may be empty
measure() {
    local row=$1 kind=$2 prepare=$3 name=$work/results/$1--$2.json
    shift 3
    local arguments=(-N --style none --warmup 1 --runs "$runs" --export-json "$name")
    [ -z "$prepare" ] || arguments+=(--prepare "bash -c $prepare")
    hyperfine "${arguments[@]}" "$*" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "'$*' failed"
    }
    python3 - "$name" "$row" "$kind" <<'TEXT' | tee -a "$work/medians" >&2
import json, statistics, sys
times = json.load(open(sys.argv[1]))['results'][0]['times']
print(f'{sys.argv[2]}\t{sys.argv[3]}\t{statistics.median(times) * 1000:.1f}\t{min(times) * 1000:.1f}\t{max(times) * 1000:.1f}')
TEXT
}

# What snapctl takes with a watcher by each way, and without.
watch_by() {
    snap watch stop
    [ "$1" = none ] || snap watch start --backend "$1"
    snap take --no-sync
}
look() {
    measure "status, nothing changed" "$1" '' "$program -C $tree status"
    measure "take of 10, --no-sync" "$1" change_ten "$program -C $tree take --no-sync"
    change_ten
    measure "status, 10 changed" "$1" '' "$program -C $tree status"
    snap take --no-sync
    measure "rollback of 10" "$1" change_ten "$program -C $tree rollback --force"
}

# git, as it comes, with its cache of untracked files, and with its own watcher where it has one here.
git_looks() {
    git checkout -q -f two
    git status --short >/dev/null
    measure "status, nothing changed" "$1" '' "git status --short"
    change_ten
    measure "status, 10 changed" "$1" '' "git status --short"
    git checkout -q -f two
}
git_all() {
    git_looks "git"
    git update-index --untracked-cache
    git config core.untrackedCache true
    git_looks "git, untracked cache"
    git config core.fsmonitor true
    if git_monitor start >/dev/null 2>&1; then
        git_looks "git, fsmonitor"
        git_monitor stop >/dev/null
    else
        echo "this git has no fsmonitor of its own on this system" >>"$work/notes"
    fi
    git config core.fsmonitor false
}

# Others at work in the tree.
others() {
    measure "make of $sources files" "$1" make_clean "make -s -j2 -C $tree/built CC='gcc -O0'"
    measure "git checkout of $(wc -l <"$work/many") files" "$1" at_one "git checkout -q -f two"
}

watcher_of() { snap --json watch status | sed 's/.*"pid":\([0-9]*\).*/\1/'; }
memory() {
    local pid
    pid=$(watcher_of)
    printf 'memory of the watcher, KiB\t%s\t%s\t\t\n' "$1" "$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" | tee -a "$work/medians" >&2
}
start() {
    measure "watch start" "$1" not_watched "$program -q -C $tree watch start --backend $1"
    memory "$1"
}

kinds=(none inotify)
if snap watch start --backend fanotify 2>"$work/log"; then
    kinds+=(fanotify)
else
    echo "no fanotify: $(head -n 1 "$work/log")" >>"$work/notes"
fi
snap watch stop
for kind in "${kinds[@]}"; do
    watch_by "$kind"
    look "$kind"
done
snap watch stop
git_all
for kind in "${kinds[@]}"; do
    watch_by "$kind"
    others "$kind"
    [ "$kind" = none ] || memory "$kind, after that"
done
snap watch stop
for kind in "${kinds[@]:1}"; do
    start "$kind"
    snap watch stop
done

table() {
    echo "$(find "$tree" -mindepth 1 | wc -l) entries, $runs runs; medians, fastest and slowest in milliseconds; $(git --version), Linux $(uname -r | sed 's/[^0-9.].*//')"
    [ ! -f "$work/notes" ] || cat "$work/notes"
    printf '\n| work | with | median | fastest | slowest |\n| --- | --- | --- | --- | --- |\n'
    sort -s -t "$(printf '\t')" -k 1,1 "$work/medians" | awk -F '\t' '{ printf "| %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5 }'
}
if [ -n "$output" ]; then table >"$output"; else table; fi
