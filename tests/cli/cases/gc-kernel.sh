# gc: the layers that remain, mounted by the kernel, show what the snapshots that remain show.
# shellcheck disable=SC2012
need_root "mount overlayfs"
store() { echo "$XDG_STATE_HOME"/snapctl/*/; }
# A tree as text: types, modes, times, bytes.
listing() { (cd "$1" && find . -printf '%P %y %m %T@ %l\n' | sed 's/\(\.[0-9]*\)[0-9]* / /' | LC_ALL=C sort && find . -type f -exec md5sum {} + | LC_ALL=C sort); }
mkdir -p "$HERE/empty" "$HERE/mnt" "$HERE/out"
mount_it -t tmpfs none "$HERE/mnt"
mkdir "$HERE/mnt/view"
show() {
    local layers=$HERE/empty n
    for n in $(cd "$(store)layers" && ls | sort -n); do
        [ "$n" -gt "$1" ] || layers=$(store)layers/$n/tree:$layers
    done
    mount -t overlay -o "ro,userxattr,lowerdir=$layers" none "$HERE/mnt/view" 2>"$HERE/stderr" || skip "cannot mount overlayfs: $(cat "$HERE/stderr")"
    snapctl -q restore "$1" "$HERE/out/$1"
    listing "$HERE/mnt/view" >"$HERE/by-kernel"
    umount "$HERE/mnt/view"
    listing "$HERE/out/$1" >"$HERE/by-restore"
    rm -r "$HERE/out/$1"
    cmp "$HERE/by-kernel" "$HERE/by-restore" && echo "snapshot $1: $(wc -l <"$HERE/by-kernel") lines equal"
}
mkdir -p a/deep b keep
echo 1 >a/deep/f
echo 1 >a/gone-in-2
echo 1 >b/f
echo 1 >keep/f
ln -s f b/link
snapctl -q take
rm a/gone-in-2
echo 2 >a/deep/f
echo 2 >a/new-in-2
rm -r b
echo 2 >b
mkdir born-in-2
echo 2 >born-in-2/stays
echo 2 >born-in-2/gone-in-3
snapctl -q take
rm b
mkdir b
echo 3 >b/f
echo 3 >a/gone-in-2
rm born-in-2/gone-in-3
rm -r keep
snapctl -q take
echo 4 >a/deep/f
chmod 700 a
mkdir keep
echo 4 >keep/other
snapctl -q take
rm -r a
snapctl -q take
for n in 1 2 3 4 5; do show $n; done
say 'without the middle ones'
snapctl -q rm 2 3
run gc --now
for n in 1 4 5; do show $n; done
say 'without the first'
snapctl -q rm 1
run gc --now
for n in 4 5; do show $n; done
say 'without the last'
snapctl -q rm 5
run gc --now
show 4
run verify
