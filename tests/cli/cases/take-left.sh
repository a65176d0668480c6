# take: a directory that only going back had brought leaves and comes back; what it was in between is remembered by nobody.
make_project
mkdir -p a/b
echo 1 >a/b/f
ln a/b/f g
snapctl -q take
rm -r a
echo 2 >>g
snapctl -q take
snapctl -q rollback 1
mv a "$HERE/away"
snapctl -q take
echo 3 >>g
snapctl -q take
mv "$HERE/away" a
snapctl -q take
run restore latest: "$HERE/out"
[ "$HERE/out/g" -ef "$HERE/out/a/b/f" ] && echo "one file"
run verify
