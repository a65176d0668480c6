#!/bin/bash
# Shows snapctl at work on a copy of a real directory, each command before its output, and checks the outcome without snapctl.
# Leaves the directory, the user's own stores and everything else alone; what it makes is gone at the end.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: demo.sh [--build-dir BUILD] [DIR]      DIR: by default a tree that this machine has, of at most 20 000 entries
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

build_dir=$top/build
if [ "${1-}" = --build-dir ]; then
    build_dir=$(realpath -m "${2:?}")
    shift 2
fi

# The first candidate that is neither tiny nor huge.
some_tree() {
    local dir count
    for dir in /usr/include /usr/share/doc /usr/lib/python3 /usr/share/perl /usr/share/zoneinfo /usr/share /etc; do
        [ -d "$dir" ] || continue
        count=$(find "$dir" -xdev 2>/dev/null | head -n 20001 | wc -l)
        [ "$count" -lt 1000 ] || [ "$count" -gt 20000 ] || { echo "$dir"; return; }
    done
    die "no tree of 1 000 to 20 000 entries was found; name one: demo.sh DIR"
}

source=$(realpath "${1:-$(some_tree)}")
[ -d "$source" ] || die "$source is no directory"
if [ ! -x "$build_dir/cli/snapctl" ]; then
    "$top/scripts/deps.sh" build
    echo "building into $build_dir"
    setup_build "$build_dir" || die "the build could not be configured"
fi
if [ -f "$build_dir/build.ninja" ]; then
    build "$build_dir" cli/snapctl || die "the build failed"
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-demo.XXXXXX")
clean() {
    cd /
    local at
    for at in try "then"; do
        ! mountpoint -q "$scratch/$at" 2>/dev/null || snapctl -q umount "$scratch/$at" || umount -l "$scratch/$at"
    done
    chmod -R u+rwX "$scratch" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM
mkdir "$scratch/bin" "$scratch/home" "$scratch/project"
ln -s "$build_dir/cli/snapctl" "$scratch/bin/snapctl"
export PATH=$scratch/bin:$PATH HOME=$scratch/home XDG_STATE_HOME=$scratch/state PAGER=cat TZ=UTC
unset SNAPCTL_STORE SNAPCTL_PAGER
project=$scratch/project

bold='' plain=''
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }

# Prints a command, then runs it.
run() {
    printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
    eval "$*"
}

# What find(1) and sha256sum(1) know of every entry: type, mode, owner, size, links, time, target, digest.
listing() {
    (
        cd "$project"
        find . -mindepth 1 \( -type d -printf '%p %y %m %U:%G %T@\n' \) -o -printf '%p %y %m %U:%G %s %n %T@ %l\n' | sort
        find . -type f -print0 | sort -z | xargs -0r sha256sum
    )
}

# The nth of ten files spread over the tree that are text, small and have more than a few lines.
pick() {
    sed -n "${1}p" "$scratch/picks"
}
find_picks() {
    find . -type f -links 1 -size +1k -size -64k -writable -print0 | sort -z | xargs -0r grep -lIZ . |
        tr '\0' '\n' | grep -E '^[-a-zA-Z0-9_./+]+$' | sed 's,^\./,,' >"$scratch/text"
    local count
    count=$(wc -l <"$scratch/text")
    [ "$count" -ge 10 ] || die "$source has fewer than ten text files of 1 to 64 KiB"
    awk -v step=$((count / 10)) 'NR % step == 0 && ++n <= 10' "$scratch/text" >"$scratch/picks"
}

say "a copy of $source"
cp -a "$source/." "$project/" || echo "(what could not be read is left out)"
chmod u+rwx "$project"
cd "$project"
find_picks
edited=$(pick 2) deleted=$(pick 3) renamed=$(pick 5) private=$(pick 7) rewritten=$(pick 9)
echo "$(find . -mindepth 1 | wc -l) entries, $(du -sh . | cut -f 1)"
cp -a "$project" "$scratch/witness"
listing >"$scratch/before"

say "a snapshot, before anything happens"
run snapctl take -n before -m "'before the experiment'"

say "the experiment: files edited, deleted, renamed, made private, added"
run "sed -i '3s/.*/a line of the experiment/' $edited"
run "rm $deleted"
run "mv $renamed $renamed.moved"
run "chmod 600 $private"
run "echo 'one more line' >>$rewritten"
run "mkdir -p notes/today && date >notes/today/log && ln -s today/log notes/latest"
run snapctl status
run snapctl diff -p -- "$edited"
run snapctl take -m "'the experiment'"

say "and a command that went wrong"
victim=$(dirname "$(pick 4)")
[ "$victim" != . ] || victim=notes
victim=${victim%%/*}
run "rm -rf $victim"
run "snapctl status | tail -n 3"
listing >"$scratch/damaged"

say "back to the beginning"
run snapctl rollback before
listing >"$scratch/after"
cp -a "$project" "$scratch/rolled-back"

say "the rollback itself can be undone, and that undone too"
run snapctl undo
listing >"$scratch/undone"
run "ls -d $victim || true"
run snapctl redo

say "looking back"
run snapctl log
run "snapctl log $edited"
run snapctl diff --stat before latest
run "snapctl ls -l latest:notes"
run "snapctl cat latest:$edited | diff $edited - || true"
run snapctl restore "latest:$renamed.moved" ../restored
run snapctl op log
run "snapctl doctor || true"

say "a place to try things, and the past as a directory"
why_no_mounts() {
    [ -e /dev/fuse ] || { echo "there is no /dev/fuse"; return; }
    { [ -r /dev/fuse ] && [ -w /dev/fuse ]; } || { echo "/dev/fuse may not be used by $(id -un)"; return; }
    [ "$(id -u)" -eq 0 ] || command -v fusermount3 >/dev/null || echo "there is no fusermount3"
}
no_mounts=$(why_no_mounts)
if [ -n "$no_mounts" ]; then
    echo "not here: $no_mounts"
else
    mkdir "$scratch/try" "$scratch/then"
    run snapctl workspace add try ../try
    run "echo 'a line of the workspace' >>../try/$edited"
    run "rm ../try/$deleted"
    run "cd ../try && snapctl diff -p -- $edited && snapctl status"
    cd "$project"
    listing >"$scratch/during"
    cp -a ../try/. "$scratch/tried"
    run snapctl apply try
    cp -a "$project" "$scratch/applied"
    run snapctl umount ../try
    run snapctl workspace remove try
    run "snapctl run --apply yes -- sh -c 'pwd; sort -o $rewritten $rewritten'"
    sort "$scratch/rolled-back/$rewritten" >"$scratch/sorted"
    run snapctl mount before ../then
    run "diff -rq --no-dereference ../then . || true"
    cp -a ../then/. "$scratch/seen"
    run snapctl umount ../then
fi

say "without snapctl: is everything exact?"
proofs=0
prove() {
    printf '%s: ' "$1"
    shift
    if "$@" >"$scratch/differences"; then
        echo yes
    else
        echo NO
        head -n 20 "$scratch/differences"
        proofs=1
    fi
}
prove "diff -r finds no difference between the tree rolled back and a copy made before the snapshot" \
    diff -r --no-dereference "$scratch/witness" "$scratch/rolled-back"
prove "types, modes, owners, sizes, link counts, times, targets and SHA-256 are those of before" \
    diff "$scratch/before" "$scratch/after"
prove "undo brought back exactly what the rollback had replaced" diff "$scratch/damaged" "$scratch/undone"
prove "the restored file is the one that was moved" cmp "$scratch/witness/$renamed" "$scratch/restored"
if [ -z "$no_mounts" ]; then
    prove "the workspace left the project alone" diff "$scratch/after" "$scratch/during"
    prove "apply made the project what the workspace was" diff -r --no-dereference "$scratch/tried" "$scratch/applied"
    prove "the command that was run sorted a file of the project" cmp "$scratch/sorted" "$rewritten"
    prove "the past that was mounted is the copy made before the snapshot" diff -r --no-dereference "$scratch/witness" "$scratch/seen"
fi
[ $proofs -eq 0 ]
