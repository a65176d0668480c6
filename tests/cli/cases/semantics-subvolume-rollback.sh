# Going back works within btrfs subvolumes, which no rename leads into or out of.
need_root "mount"
command -v btrfs >/dev/null || skip "there is no btrfs(8)"
mount_new btrfs 128M "$HERE/disk"

subvolume() { btrfs subvolume create "$1" >/dev/null; }

# All that going back is about, times included.
state() { find . -printf '%p %y %m %T@ %l %n\n' | sed '/ d /s/ [0-9]*$//' | sort; find . -type f -exec sha1sum {} + | sort; }

# run, and whether the project is then as it was when STATE was kept
expect() {
    local want=$1
    shift
    run "$@"
    state >"$HERE/now"
    diff "$HERE/$want" "$HERE/now" && echo "as $want"
    find . -name '.snapctl-*'
}

mkdir "$HERE/disk/project"
cd "$HERE/disk/project" || exit
subvolume sub
subvolume sub/inner
mkdir -p sub/dir/deep sub/gone plain
for at in sub sub/inner sub/dir/deep sub/gone plain; do
    echo "one of $at" >$at/a
    echo "two of $at" >$at/b
done
ln sub/a sub/dir/hard
ln -s a sub/link
chmod 750 sub
touch -d 2001-02-03 sub sub/inner sub/dir plain
run -q take
state >"$HERE/first"

echo changed >sub/a
echo changed >sub/inner/a
rm sub/b sub/link sub/dir/hard sub/inner/b
rm -r sub/gone
mv sub/dir sub/moved
mkdir sub/new sub/inner/new
echo new >sub/new/n
ln sub/new/n sub/new/m
echo new >sub/inner/new/n
ln sub/moved/deep/a sub/third
echo changed >plain/a
chmod 700 sub
state >"$HERE/second"

say "everything"
expect first rollback 1
expect second undo
expect first redo
run status
say "a path"
expect second undo
run rollback 1 -- sub/inner plain
cat sub/a sub/inner/a sub/inner/b plain/a
expect second undo

say "what was a directory is a subvolume now, and stays one"
expect first rollback 1
rm -r plain
subvolume plain
mkdir plain/dir
echo other >plain/a
echo other >plain/dir/f
chmod 700 plain
state >"$HERE/third"
expect first rollback 1
expect third undo
expect first redo
stat -c %i plain

say "a subvolume that the snapshot does not have stays whole, if anything is in it"
subvolume late
subvolume empty
echo late >late/f
mkdir late/d
echo late >late/d/f
echo changed >sub/a
run rollback 1
cat late/f late/d/f sub/a
ls
rm -r late/d late/f
expect first rollback 1

say "a subvolume in a directory that moved"
mkdir holder
subvolume holder/s
echo one >holder/s/f
echo one >holder/f
run -q take
run -q tag latest held
state >"$HERE/held"
mv holder held
echo new >held/s/f
echo new >held/s/g
echo new >held/f
run rollback held
cat holder/s/f holder/s/g holder/f
expect held rollback held
run status

say "a read-only subvolume"
echo changed >sub/inner/a
echo changed >sub/a
btrfs property set -t subvol sub/inner ro true
run rollback held
cat sub/inner/a sub/a
btrfs property set -t subvol sub/inner ro false
expect held rollback held
find "$HERE/disk" "$XDG_STATE_HOME" -path '*work/?*'
