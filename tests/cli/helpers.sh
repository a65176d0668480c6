# What the cases have in common. Sourced by run.sh, which sets SNAPCTL, CHECK_JSON and HERE.
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2013,SC2015

# snapctl itself.
snapctl() {
    "$SNAPCTL" "$@"
}

# Shows a command, its stdout, its stderr after "! ", and its exit code unless 0.
run() {
    show_command "$@"
    local code=0
    "$SNAPCTL" "$@" >"$HERE/stdout" 2>"$HERE/stderr" </dev/null || code=$?
    cat "$HERE/stdout"
    sed 's/^/! /' "$HERE/stderr"
    [ $code -eq 0 ] || echo "exit $code"
}

# The same with --json: every line has to be an object that begins with message_type.
json() {
    show_command --json "$@"
    local code=0
    "$SNAPCTL" --json "$@" >"$HERE/stdout" 2>"$HERE/stderr" </dev/null || code=$?
    "$CHECK_JSON" <"$HERE/stdout"
    sed 's/^/! /' "$HERE/stderr"
    [ $code -eq 0 ] || echo "exit $code"
}

# Only the exit code and nothing else.
code() {
    show_command "$@"
    "$SNAPCTL" "$@" >/dev/null 2>&1 </dev/null
    echo "exit $?"
}

show_command() {
    printf '$ snapctl'
    local word
    for word; do
        case $word in
        *[!a-zA-Z0-9_./:=~@-]* | '') printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
}

# On a terminal, which shows what it got with escape sequences made visible.
terminal() {
    command -v script >/dev/null || skip "there is no script(1) to make a terminal"
    show_command "$@"
    local line
    printf -v line '%q ' "$SNAPCTL" "$@"
    TERM=xterm script -qec "stty cols 80 rows 24; $line" /dev/null </dev/null | tr -d '\r' | sed 's/\x1b/\\e/g'
    local code=${PIPESTATUS[0]}
    [ "$code" -eq 0 ] || echo "exit $code"
}

skip() {
    echo "$*"
    exit 77
}

# What only root can arrange.
need_root() {
    [ "$(id -u)" -eq 0 ] || skip "only root can ${1:-do this}"
}

# mount(8) with these arguments; unmounted however the case ends, the last first.
mounted=()
mount_it() {
    mount "$@" 2>"$HERE/stderr" || skip "cannot mount: $(head -n 1 "$HERE/stderr")"
    trap unmount_all EXIT
    mounted=("$(realpath "${!#}")" "${mounted[@]}")
}

unmount_all() {
    cd /
    local at
    for at in "${mounted[@]}"; do
        umount "$at" || umount -l "$at"
    done
    mounted=()
}

# A file system of its own, in a file: TYPE SIZE DIR, options of mkfs after them.
mount_new() {
    local type=$1 size=$2 dir=$3
    shift 3
    command -v "mkfs.$type" >/dev/null || skip "there is no mkfs.$type(8)"
    truncate -s "$size" "$dir.image"
    "mkfs.$type" -q "$@" "$dir.image" >/dev/null 2>&1 || skip "cannot make $type"
    mkdir -p "$dir"
    mount_it -o loop "$dir.image" "$dir"
}

# Mounts of FUSE, by whoever runs the case. What is left mounted below $HERE is unmounted however the case ends.
need_fuse() {
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "/dev/fuse may not be used here"
    [ "$(id -u)" -eq 0 ] || command -v fusermount3 >/dev/null || skip "there is no fusermount3"
    trap unmount_ours EXIT
}

# Mounts that only one process and its children see.
need_namespaces() {
    unshare -m true 2>/dev/null || unshare -Um true 2>/dev/null || skip "mount namespaces may not be made here"
}

unmount_ours() {
    cd /
    local at
    for at in $(awk -v here="$HERE/" 'index($5, here) == 1 { print $5 }' /proc/self/mountinfo); do
        fusermount3 -u -z "$at" 2>/dev/null || umount -l "$at"
    done
}

# The process that serves what is mounted there.
served_by() {
    snapctl --json mount | sed -n "s#.*\"dir\":\"$1\".*\"pid\":\([0-9]*\).*#\1#p"
}

# Until a process that is no child of ours has ended.
await_end() {
    timeout 30 tail --pid="$1" -f /dev/null || echo "process $1 does not end"
}

# A project with two files and a directory.
make_project() {
    mkdir -p src
    echo one >a.txt
    printf 'int main(void)\n{\n    return 0;\n}\n' >src/main.c
    ln -s a.txt link
}

# A line of the case's output that says what follows.
say() {
    echo "# $*"
}
