# export as an OCI image, and as an mtree specification.
make_project
touch -d @1000000000 a.txt src/main.c src . && touch -h -d @1000000000 link
snapctl -q take -m 'the "first"'
echo two >a.txt
touch -d @1000000000 a.txt
snapctl -q take -n good
run export 1 -o ../x.mtree | sed 's/; [0-9]* B written/; SIZE written/'
sed -E "s/ uid=[0-9]+ gid=[0-9]+/ uid=U gid=G/" ../x.mtree
run export 2 --since 1 -o ../x.oci | sed 's/ [0-9.]* KiB written/ N written/'
show() {
    sed -E 's/sha256:[0-9a-f]{64}/DIGEST/g; s/"size":[0-9]+/"size":N/g; s/"architecture":"[a-z0-9]*"/"architecture":A/' "$1"
    echo
}
blob() {
    echo "../x.oci/blobs/sha256/$(grep -o "\"$2\":.*" "$1" | grep -o 'sha256:[0-9a-f]*' | head -n 1 | cut -c8-)"
}
cat ../x.oci/oci-layout
echo
show ../x.oci/index.json
manifest=$(blob ../x.oci/index.json manifests)
show "$manifest"
show "$(blob "$manifest" config)"
find ../x.oci -type f | wc -l
say "what is there is not replaced"
run export 2 -o ../x.oci
run export 2 -o ../x.oci --overwrite
run export 2 -o ../x.oci.tar.gz
say "names that mean something else in a layer"
touch .wh.a
touch -d @1000000000 .wh.a .
snapctl -q take
run export 3 -o ../y.oci | sed 's/ [0-9.]* KiB written/ N written/'
run export 3 --since 2 -o ../y.tar
run export 3 -o ../z.tar
tar -tf ../z.tar
ls ..
say "what was imported between is no layer"
rm .wh.a
touch -d @1000000000 .
snapctl -q import ../z.tar
snapctl -q take
run export latest --since 1 -o ../w.oci | sed 's/ [0-9.]* KiB written/ N written/'
