#!/bin/bash
# How snapctl-overlay is called: by hand as fuse-overlayfs is, by mount(8), and what it refuses.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: options.sh SNAPCTL_OVERLAY
# shellcheck disable=SC2005,SC2012,SC2046,SC2086,SC2119
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts

fails() {
    local what=$1 expected=$2
    shift 2
    local out code
    out=$("$OVERLAY" "$@" 2>&1)
    code=$?
    same "$what: exit code" 1 $code
    same "$what" "$expected" "$(head -n 1 <<<"$out")"
}
layers
fails "nothing given" "snapctl-overlay: no directory to mount on was given"
fails "no lowerdir" "snapctl-overlay: '-o lowerdir=DIR' is missing" merged
fails "no workdir" "snapctl-overlay: 'upperdir' takes a 'workdir' on the same file system" -o lowerdir=lower,upperdir=upper merged
fails "an unknown option" "snapctl-overlay: the mount option 'lowerdirs' is not known" -o lowerdirs=lower merged
fails "of fuse-overlayfs" "snapctl-overlay: the mount option 'squash_to_root' is not known" -o lowerdir=lower,squash_to_root merged
fails "a value not served" "snapctl-overlay: the mount option 'redirect_dir=nofollow' is not served" -o lowerdir=lower,redirect_dir=nofollow merged
fails "a value too many" "snapctl-overlay: the mount option 'ro' takes no value" -o lowerdir=lower,ro=1 merged
fails "a value missing" "snapctl-overlay: the mount option 'lowerdir' takes a value" -o lowerdir merged
fails "a wrong number" "snapctl-overlay: 'max_threads=0' is not a number from 1 to 1000" -o lowerdir=lower,max_threads=0 merged
fails "layers of data" "snapctl-overlay: 'lowerdir' names an empty directory; layers of data alone are not served" -o lowerdir=lower::data merged
fails "an unknown flag" "snapctl-overlay: unknown option -x" -x merged
fails "three operands" "snapctl-overlay: one operand too many: c" a b c
fails "no such layer" "snapctl-overlay: cannot open lowerdir 'absent': No such file or directory" -o lowerdir=absent merged
fails "no such directory" "snapctl-overlay: cannot mount on 'absent': No such file or directory" -o lowerdir=lower absent
same "a typo" "hint: did you mean 'upperdir'?" "$("$OVERLAY" -o uperdir=x merged 2>&1 | tail -n 1)"
same "the version" "snapctl-overlay" "$("$OVERLAY" -V | cut -d ' ' -f 1)"
check "help lists lowerdir" grep -q '^  lowerdir=DIR' <("$OVERLAY" --help)
check "nothing was mounted" test -z "$(grep "$scratch" /proc/self/mounts)"

# Names with what has a meaning in options.
mkdir 'a:b' 'c,d' 'e\f' 'up,per'
echo one >'a:b/1'; echo two >'c,d/2'; echo three >'e\f/3'
"$OVERLAY" -o 'lowerdir=a\:b:c\,d:e\\f,upperdir=up\,per,workdir=work,fsname=my\,source' merged
same "colons, commas, backslashes" "one two three" "$(echo $(cat merged/[123]))"
check "the source is listed" grep -qF 'my,source' /proc/self/mounts
touch merged/new
check "changes go to upperdir" test -e 'up,per/new'
unserve merged
flock -w 20 'up,per' true

# Options of habit; several -o, in any order, with and without a space; the operand first.
"$OVERLAY" merged -oxino=auto,index=off,metacopy=on,redirect_dir=on,userxattr,volatile -o lowerdir=lower \
    -o relatime,lazytime,x-systemd.automount,comment=hello,_netdev,nofail -o nodev,noexec,upperdir=upper,workdir=work
mounted=$(grep " $scratch/merged " /proc/self/mounts)
check "flags are the mount's: $mounted" grep -Eq 'rw,(nosuid,)?nodev,noexec' <<<"$mounted"
cp /bin/true merged/true
same "noexec holds" 126 "$(merged/true 2>/dev/null; echo $?)"
if is_root; then
    "$OVERLAY" -o remount,exec merged
    same "remounted with exec" 0 "$(merged/true; echo $?)"
    check "and still nodev" grep -q " $scratch/merged .*nodev" /proc/self/mounts
    mount -o remount,ro merged 2>/dev/null || "$OVERLAY" -o remount,ro merged
    same "remounted read-only" "Read-only file system" "$(LC_ALL=C touch merged/x 2>&1 | sed 's/.*: //')"
    "$OVERLAY" -o remount,rw merged
else
    same "a user's mount keeps its flags" "Operation not permitted" "$(LC_ALL=C "$OVERLAY" -o remount,exec merged 2>&1 | sed 's/.*: //')"
fi
check "it can be written" touch merged/x
unserve

# ro with an upper layer; -r.
"$OVERLAY" -o ro,lowerdir=lower,upperdir=upper,workdir=work merged
same "ro" "Read-only file system" "$(LC_ALL=C rm -f merged/x 2>&1 | sed 's/.*: //')"
unserve

# By mount(8), which finds the program by its type in the usual directories: in a namespace of its own it is there.
if ! is_root; then
    skip "mount(8) as another user takes a line in fstab"
elif [ -x /sbin/mount.fuse ] || [ -x /sbin/mount.fuse3 ]; then
    mkdir bin
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$OVERLAY" >bin/snapctl-overlay
    chmod +x bin/snapctl-overlay
    # shellcheck disable=SC2016
    listed=$(unshare -m sh -c 'mount --bind "$0" /usr/local/bin &&
        mount -t fuse.snapctl-overlay overlay merged -o lowerdir=lower,upperdir=upper,workdir=work,noatime &&
        findmnt -n -o FSTYPE,SOURCE,OPTIONS merged && umount merged' "$scratch/bin")
    same "mount -t fuse.snapctl-overlay" "fuse.snapctl-overlay overlay" "$(echo $listed | cut -d ' ' -f 1-2)"
    check "with its flags" grep -q noatime <<<"$listed"
    released
else
    skip "there is no mount.fuse(8)"
fi

# Other users, if they may.
if may_use_users; then
    "$OVERLAY" -o lowerdir=lower,upperdir=upper,workdir=work merged
    check "root's mount is everybody's" as_nobody test -e merged/x
    unserve
    layers
    chown nobody:nogroup lower upper work merged
    open_fuse
    if as_nobody sh -c 'command -v fusermount3' >/dev/null; then
        check "a user's mount" as_nobody "$OVERLAY" -o lowerdir=lower,upperdir=upper,workdir=work merged
        same "is his alone" "Permission denied" "$(LC_ALL=C ls merged 2>&1 | sed 's/.*: //')"
        as_nobody fusermount3 -u merged
        released
    fi
    chmod 600 /dev/fuse
    out=$(as_nobody "$OVERLAY" -o lowerdir=lower,upperdir=upper,workdir=work merged 2>&1)
    check "without /dev/fuse it says so: $out" grep -q "cannot mount on 'merged'" <<<"$out"
fi
finish
