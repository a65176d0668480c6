# A btrfs without a free block: what was taken can be looked at, and nothing is lost.
need_root "mount"
mount_new btrfs 128M "$HERE/full" --mixed
mkdir "$HERE/full/project"
cd "$HERE/full/project" || exit
make_project
snapctl -q init --store "$HERE/full/store"
snapctl -q take -n good
echo two >a.txt
sync
# blocks first, then what remains of those for metadata
dd if=/dev/zero of="$HERE/full/filler" bs=64k status=none 2>/dev/null
i=0
while printf "%2000s" "" >"$HERE/full/filler-$i" && sync "$HERE/full/filler-$i"; do
    i=$((i + 1))
done 2>/dev/null
run status
run log
run cat 1:a.txt
run diff -p
code take
code rollback
cat a.txt
say "once there is room, it goes on"
rm "$HERE"/full/filler*
sync
run rollback
cat a.txt
run undo
cat a.txt
run verify
