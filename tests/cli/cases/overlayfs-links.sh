# On overlayfs a directory that was moved is a new one; the names of an inode in it and outside stay names of one inode.
need_root "mount"
mkdir "$HERE"/{lower,upper,overlay-work,merged}
mount_it -t overlay overlay -o "lowerdir=$HERE/lower,upperdir=$HERE/upper,workdir=$HERE/overlay-work" "$HERE/merged"
mkdir -p "$HERE/merged/project/d"
cd "$HERE/merged/project" || exit
echo one >d/a
ln d/a b
snapctl -q init --store "$HERE/store"
snapctl -q take
mv d e
run take
snapctl -q restore 2: "$HERE/back"
[ "$HERE/back/e/a" -ef "$HERE/back/b" ] && echo "one inode"
