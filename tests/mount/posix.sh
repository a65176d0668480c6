#!/bin/bash
# What POSIX says about files, asked of a native directory and of mounts: by root, in a user namespace, and by an ordinary user
# through fusermount3. SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: posix.sh SNAPCTL_OVERLAY POSIX
# shellcheck disable=SC2012,SC2119
set -u
POSIX=$(realpath -e "$2") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "asking as several users takes root"

mkdir native
check "on a native directory" "$POSIX" native

layers
serve || exit 1
check "as root" "$POSIX" merged
check "unmounts" unserve
same "nothing is left in the upper layer" "" "$(find upper -mindepth 1)"
same "nor in the work directory" "" "$(find work -mindepth 2)"

if ! may_use_users; then
    skip "there is no setpriv(1) or no user nobody"
    finish
fi
layers
chown nobody:nogroup lower upper work merged
if as_nobody unshare -Urm true 2>/dev/null; then
    open_fuse
    # shellcheck disable=SC2016
    check "in a user namespace" as_nobody unshare -Urm sh -c '
        "$0" -o lowerdir=lower,upperdir=upper,workdir=work merged && "$1" -u merged && umount merged' "$OVERLAY" "$POSIX"
    released
else
    skip "user namespaces are not for users here"
fi
if as_nobody sh -c 'command -v fusermount3' >/dev/null; then
    [ -n "$fuse_mode" ] || open_fuse
    layers
    chown nobody:nogroup lower upper work merged
    check "a user mounts" as_nobody "$OVERLAY" -o lowerdir=lower,upperdir=upper,workdir=work merged
    check "as an ordinary user" as_nobody "$POSIX" -u merged
    same "root has no business there" "Permission denied" "$(LC_ALL=C ls merged 2>&1 | sed 's/.*: //')"
    check "the user unmounts" as_nobody fusermount3 -u merged
    check "which ends it" released
else
    skip "there is no fusermount3"
fi
finish
