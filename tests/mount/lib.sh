# For the tests of mounts: a scratch directory, layers in it, mounts that are gone afterwards.
# To be sourced; $OVERLAY is snapctl-overlay. SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2119,SC2120
passed=0 failed=0 skipped=0

skip_all() {
    echo "0 passed, 0 failed, 1 skipped: $1"
    exit 77
}

[ -e /dev/fuse ] || skip_all "there is no /dev/fuse"
OVERLAY=$(realpath -e "$1") || exit 2
export OVERLAY
scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-mount.XXXXXX") || exit 2
chmod 755 "$scratch"
scratch=$(realpath "$scratch")
fuse_mode=
clean_up() {
    local point
    while read -r _ point _; do
        case $point in "$scratch"/*) umount -l "$point" ;; esac
    done < <(tac /proc/self/mounts)
    [ -z "$fuse_mode" ] || chmod "$fuse_mode" /dev/fuse
    rm -rf --one-file-system "$scratch"
}
trap clean_up EXIT
cd "$scratch" || exit 2

# Others than root mount by fusermount3, where they may use FUSE at all.
need_mounts() {
    [ "$(id -u)" = 0 ] && return
    command -v fusermount3 >/dev/null || skip_all "there is no fusermount3"
    { [ -r /dev/fuse ] && [ -w /dev/fuse ]; } || skip_all "/dev/fuse may not be used here"
}
# choose_seeds SEED...: these in $seeds, or SEEDS=N others
# shellcheck disable=SC2034
choose_seeds() {
    seeds=("$@")
    [ -z "${SEEDS-}" ] || mapfile -t seeds < <(shuf -i 1-1000000 -n "$SEEDS")
}
is_root() { [ "$(id -u)" = 0 ]; }

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

# what was expected, and what came
same() {
    local what=$1
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        echo "failed: $what: expected '$2', got '$3'"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "skipped: $1"
    skipped=$((skipped + 1))
}

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
    exit
}

is_mounted() { grep -q " $(realpath "$1" 2>/dev/null || echo "$1") fuse\.snapctl-overlay " /proc/self/mounts; }

# fresh directories: lower, upper, work, merged
layers() {
    rm -rf lower upper work merged
    mkdir lower upper work merged
}

serve() { "$OVERLAY" -o "lowerdir=lower,upperdir=upper,workdir=work${1:+,$1}" merged; }

# unmounted, and whoever served has let go of the layers: it holds a lock on them
unserve() {
    umount "${1:-merged}" && released
}
released() { flock -w 20 "${1:-upper}" true; }

may_use_users() {
    [ "$(id -u)" = 0 ] || return 1
    command -v setpriv >/dev/null && getent passwd nobody >/dev/null
}
as_nobody() { setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups -- "$@"; }

# for users who mount by fusermount3
open_fuse() {
    fuse_mode=$(stat -c %a /dev/fuse)
    chmod 666 /dev/fuse
}
