# export --since: what differs between two snapshots, as a layer.
mkdir -p stays replaced moved/in
echo one >stays/a
echo two >stays/b
ln stays/b stays/c
echo old >replaced/old
echo deep >moved/in/deep
touch -d @1000000000 stays/* replaced/old moved/in/deep moved/in
touch -d @1000000000 stays replaced moved .
snapctl -q take
rm stays/a
ln stays/b stays/d
rm -r replaced
mkdir replaced
echo new >replaced/new
mv moved elsewhere
touch -d @1000000000 stays/* replaced/new elsewhere/in/deep
touch -d @1000000000 stays replaced elsewhere .
snapctl -q take -n second
run export second --since 1 -o ../x.tar
show() {
    tar -tvf "$1" --numeric-owner --xattrs | sed -E 's/ [0-9]+\/[0-9]+ +[0-9,]+ / U\/G /'
}
show ../x.tar
json export 2 --since 1 --whiteouts overlay -o ../y.tar
show ../y.tar
say "nothing but the root differs from itself"
"$SNAPCTL" export 2 --since 2 | tar -tf -
say "what cannot be said"
run export 2 --since 1 -o ../x.mtree
run export 2 --since 1 --whiteouts overlay -o ../x.oci
run export 1 --since 2 -o ../x.oci
run export 2 --since 3 -o ../z.tar
run export 2 --whiteouts nonsense -o ../z.tar
ls ..
