# Where snapshots are kept is no project, whatever is asked for: going back there would take them along.
echo one >a
snapctl -q init --store "$HERE/store"
snapctl -q take
mkdir "$HERE/other"
snapctl -q init "$HERE/other"
run init "$HERE/store"
run init --force "$HERE/store/layers/1/tree"
run -C "$HERE/store/work" take
run init "$HERE/state/snapctl"
run -C "$HERE"/state/snapctl/other-* take
say "nor is a store its own project"
mkdir "$HERE/empty"
run -C "$HERE/empty" init --store .
ls "$HERE/empty"
