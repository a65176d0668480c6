# watch: a name that going back gives to a file again changes what the file's other name shows.
make_project
snapctl -q init --store "$HERE/store"
trap 'snapctl -q watch stop' EXIT
mkdir a b
echo 1 >a/f
ln a/f b/g
snapctl -q take
snapctl -q watch start --backend inotify
rm b/g
snapctl -q take
snapctl -q rollback 1
snapctl -q take
echo 2 >>b/g
run status
snapctl -q take
run cat latest:a/f
