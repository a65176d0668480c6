# btrfs subvolumes are directories: captured and compared like any other.
need_root "mount"
command -v btrfs >/dev/null || skip "there is no btrfs(8)"
mount_new btrfs 128M "$HERE/disk"
mkdir "$HERE/disk/project"
cd "$HERE/disk/project" || exit
btrfs -q subvolume create sub 2>/dev/null || btrfs subvolume create sub >/dev/null
mkdir dir
for at in sub dir; do
    for i in 1 2 3; do echo $i >$at/f$i; done
done
run take
run ls -R 1
run status
echo changed >sub/f1
rm sub/f2
echo new >sub/new
run status
say "a subvolume's own snapshot has the same inode numbers"
btrfs subvolume snapshot sub copy >/dev/null
stat -c %i sub/f1 copy/f1 | uniq | wc -l
echo 'of the copy' >copy/f1
run -q take
run cat latest:copy/f1
run cat latest:sub/f1
run cat latest:copy/f3
run status
say "deleted with all that is in it"
btrfs subvolume delete copy >/dev/null
run status
