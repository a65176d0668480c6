#!/bin/bash
# How a mount begins and ends: in the background and the foreground, by umount, by signals, by the loss of its layers, after a crash.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: life.sh SNAPCTL_OVERLAY
# shellcheck disable=SC2002,SC2005,SC2046,SC2119
set -u
# a signal that is ignored from the start could never be trapped
[ -n "${SIGNALS_AS_USUAL-}" ] || SIGNALS_AS_USUAL=1 exec env --default-signal bash "$0" "$@"
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts

# Returns when the mount answers; nothing of the caller stays open in the daemon.
layers
echo below >lower/file
out=$(serve 2>&1)
same "says nothing" "" "$out"
check "is mounted" is_mounted merged
same "shows what is below" below "$(cat merged/file)"
echo above >merged/new
same "a change is in the upper layer" above "$(cat upper/new)"
check "and not below" test ! -e lower/new
check "unmounts" unserve
check "is not mounted any more" test ! -e merged/file
serve
same "what was written is there again" above "$(cat merged/new)"
rm merged/file
check "a deletion lasts" test ! -e merged/file
unserve
serve
check "over a remount" test ! -e merged/file
same "the work directory is put away" "" "$(find work -mindepth 2)"

# A second one is refused.
out=$(serve 2>&1 && echo mounted)
same "two mounts of one upper layer" "snapctl-overlay: cannot use as upperdir 'upper': Device or resource busy
hint: another mount uses it" "$out"
unserve

# In the foreground, ended by signals.
for signal in TERM INT HUP; do
    (trap - INT; exec "$OVERLAY" -f -o lowerdir=lower,upperdir=upper,workdir=work merged) &
    child=$!
    until is_mounted merged; do kill -0 $child || break; done
    ls merged >/dev/null
    kill -$signal $child
    wait $child
    same "ends well on SIG$signal" 0 $?
    check "and is unmounted" test ! -e merged/new
done

# A busy mount ends, too, and keeps what was written.
serve
exec 7>merged/busy
head -c 3000000 /dev/zero | tr '\0' b >&7
same "in use, it is not unmounted" 32 "$(umount merged 2>/dev/null; echo $?)"
daemon=$(pgrep -n -f "^$OVERLAY .*merged")
kill -TERM "$daemon"
check "SIGTERM ends it" released
exec 7>&-
check "it is off the tree" test ! -e merged/busy
same "what was written is kept" 3000000 "$(tr -d -c b <upper/busy | wc -c)"

# By fusermount3, and lazily.
if command -v fusermount3 >/dev/null; then
    serve
    check "fusermount3 -u" fusermount3 -u merged
    check "ends it" released
fi
serve
umount -l merged
check "umount -l ends it" released

# When the layers go away.
serve
rm -rf upper
is_mounted merged && timeout 20 findmnt --poll=umount --first-only merged >/dev/null
check "a removed upper layer ends it" test ! -e merged/file

# Killed: cleared by umount; what was synchronised is there, and nothing is left in work.
layers
echo below >lower/file
serve
echo kept >merged/kept
sync merged/kept
echo more >>merged/file
sync merged/file
daemon=$(pgrep -n -f "^$OVERLAY .*merged")
kill -KILL "$daemon"
released
same "after a kill the mount is dead" "Transport endpoint is not connected" "$(cat merged/kept 2>&1 | sed 's/.*: //')"
out=$(serve 2>&1)
same "mounting there is refused with advice" "hint: a mount whose program is gone; clear it with: umount merged" "$(echo "$out" | tail -n 1)"
check "umount clears it" umount merged
serve
same "and what was synchronised is there" "kept below more" "$(echo $(cat merged/kept merged/file))"
same "with nothing left in work" "" "$(find work -mindepth 2)"
unserve

# Over its own lower directory, and inside it.
layers
echo below >lower/file
"$OVERLAY" -o lowerdir=lower,upperdir=upper,workdir=work lower
same "over itself" below "$(timeout 20 cat lower/file)"
echo changed >lower/file
unserve lower
same "what is below stays" below "$(cat lower/file)"
same "and the change is above" changed "$(cat upper/file)"
mkdir lower/inside
"$OVERLAY" -o lowerdir=lower,upperdir=upper,workdir=work lower/inside
same "inside itself" changed "$(timeout 20 cat lower/inside/file)"
check "a walk ends" timeout 20 find lower -type f -exec true {} +
umount lower/inside
released

# Several lower directories; none to write to.
mkdir -p a/d b/d c
echo a >a/d/a; echo b >b/d/b; echo a >a/both; echo b >b/both; echo c >c/c
"$OVERLAY" -o lowerdir=a:b:c merged
same "the topmost is seen" a "$(cat merged/both)"
same "directories merge" "a b" "$(echo $(ls merged/d))"
check "it is listed as read-only" grep -q " $scratch/merged fuse.snapctl-overlay ro," /proc/self/mounts
for change in "touch merged/new" "rm merged/both" "chmod 600 merged/both" "mkdir merged/x" "rmdir merged/d" "mv merged/c merged/y" \
    "ln merged/c merged/y" "ln -s x merged/y" "touch -d yesterday merged/c" "truncate -s 0 merged/c" "chown 1 merged/c" \
    "mkfifo merged/fifo" "setfattr -n user.x -v y merged/c" "dd if=/dev/null of=merged/c conv=notrunc"; do
    same "read-only: $change" "Read-only file system" "$(LC_ALL=C $change 2>&1 | head -n 1 | sed 's/.*: //')"
done
umount merged

finish
