# What is mounted inside the project is not crossed, and that is said; a rollback does not touch it.
need_root "mount"
make_project
mkdir mnt src/deep
echo 'under the mount' >mnt/under
mount_it -t tmpfs none mnt
echo 'in the mount' >mnt/in
mount_it --bind "$HERE/home" src/deep
echo 'not ours' >src/deep/file
run take
run ls -R 1
json take --if-changed
run status
say "nothing in it is deleted, nor is what it stands on"
echo two >a.txt
echo 'in it too' >mnt/new
run rollback
cat mnt/in mnt/new src/deep/file
say "a snapshot in which it is not"
snapctl -q take
mkdir made
mount_it -t tmpfs none made
echo 'in the mount' >made/in
run rollback
cat made/in
unmount_all
cd "$HERE/project" || exit
say "unmounted, what lay under it is there"
run status
