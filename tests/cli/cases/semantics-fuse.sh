# A project on a FUSE file system: what it says of inodes and times is not relied on; the store lies elsewhere.
need_root "mount"
command -v fuse-overlayfs >/dev/null || skip "there is no fuse-overlayfs(1)"
[ -w /dev/fuse ] || skip "there is no /dev/fuse"
mkdir -p "$HERE/lower/project/src" "$HERE/upper/project/src" "$HERE/work" "$HERE/merged"
echo one >"$HERE/lower/project/a.txt"
echo two >"$HERE/lower/project/src/b.txt"
ln -s a.txt "$HERE/lower/project/link"
overlay() {
    fuse-overlayfs -o "lowerdir=$HERE/lower,upperdir=$HERE/upper,workdir=$HERE/work" "$HERE/merged" 2>"$HERE/stderr" \
        </dev/null || skip "cannot mount: $(head -n 1 "$HERE/stderr")"
    trap unmount_all EXIT
    # shellcheck disable=SC2034
    mounted=("$HERE/merged")
    cd "$HERE/merged/project" || exit
}
overlay
run init --store "$HERE/store"
run take
run status
echo changed >a.txt
rm link
echo new >src/new
run status
run take
run rollback 1
cat a.txt src/b.txt link
run status
say "mounted again, files that were copied up have other inode numbers: nothing changed"
stat -c %i a.txt >"$HERE/inode"
unmount_all
overlay
[ "$(stat -c %i a.txt)" = "$(cat "$HERE/inode")" ] || echo 'other inodes'
run diff 1
run take
say "the same size and time, another inode: content decides"
cp -p a.txt "$HERE/copy"
cp -p "$HERE/copy" fresh && mv fresh a.txt
run status
echo ONE >fresh && touch -r "$HERE/copy" fresh && mv fresh a.txt
run status
run rollback 1
cat a.txt
