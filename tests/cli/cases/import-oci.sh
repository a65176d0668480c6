# import: images of OCI layouts, whose layers take away by whiteouts; and layouts that lie.
need_root "own what the image says is owned by root"
make_project
run take
L=$HERE/layout

# Puts a file among the blobs; its descriptor, of this media type, on stdout.
blob() {
    local digest
    digest=$(sha256sum <"$2" | cut -d' ' -f1)
    mkdir -p "$L/blobs/sha256"
    cp "$2" "$L/blobs/sha256/$digest"
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%d}' "$1" "$digest" "$(stat -c %s "$2")"
}

document() { printf '%s' "$2" >"$HERE/document" && blob "$1" "$HERE/document"; }
pack() { tar --sort=name --owner=0 --group=0 --mtime=@1000000000 --format=ustar -cf "$HERE/$1.tar" -C "$HERE/$1" .; }
diff_id() { printf '"sha256:%s"' "$(sha256sum <"$HERE/$1.tar" | cut -d' ' -f1)"; }
image() { # LAYER DESCRIPTORS, DIFF_IDS
    local config manifest
    config=$(document application/vnd.oci.image.config.v1+json "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$2]}}")
    manifest=$(document application/vnd.oci.image.manifest.v1+json "{\"schemaVersion\":2,\"config\":$config,\"layers\":[$1]}")
    printf '{"imageLayoutVersion":"1.0.0"}' >"$L/oci-layout"
    printf '{"schemaVersion":2,"manifests":[%s]}' "$manifest" >"$L/index.json"
}

mkdir -p "$HERE/one/d/sub" "$HERE/one/opaque" "$HERE/two/d" "$HERE/two/opaque"
echo 1 >"$HERE/one/stays"
echo 1 >"$HERE/one/goes"
echo 1 >"$HERE/one/replaced"
echo 1 >"$HERE/one/d/sub/goes"
echo 1 >"$HERE/one/opaque/goes"
touch "$HERE/two/.wh.goes" "$HERE/two/.wh.replaced" "$HERE/two/d/.wh.sub" "$HERE/two/opaque/.wh..wh..opq" "$HERE/two/.wh.never-was"
echo 2 >"$HERE/two/replaced"
echo 2 >"$HERE/two/opaque/comes"
pack one
pack two
gzip -nc <"$HERE/two.tar" >"$HERE/two.tar.gz"
tarred=application/vnd.oci.image.layer.v1.tar
first=$(blob $tarred "$HERE/one.tar")
second=$(blob $tarred+gzip "$HERE/two.tar.gz")
image "$first,$second" "$(diff_id one),$(diff_id two)"
run import ../layout
run ls -R 2
snapctl cat 2:replaced
tar -cf "$HERE/layout.tar" -C "$L" .
snapctl -q import ../layout.tar
run diff 2 4 --times
say layers that are not what they are called
image "$first,$second" "$(diff_id one),$(diff_id one)"
run import ../layout
image "$first" "$(diff_id one),$(diff_id two)"
run import ../layout
image "${first/\"size\":/\"size\":1}" "$(diff_id one)"
run import ../layout
image "${first/$tarred/application/zip}" "$(diff_id one)"
run import ../layout
image "${first/sha256:/sha512:}" "$(diff_id one)"
run import ../layout
image "$(sed -E 's,sha256:[0-9a-f]+,sha256:../../../etc/passwd,' <<<"$first")" "$(diff_id one)"
run import ../layout
say blobs that are damaged, missing, or elsewhere
image "$first,$second" "$(diff_id one),$(diff_id two)"
digest=$(sed -E 's/.*sha256:([0-9a-f]+).*/\1/' <<<"$first")
printf x | dd of="$L/blobs/sha256/$digest" bs=1 seek=600 conv=notrunc status=none
run import ../layout
ln -sf "$HERE/one.tar" "$L/blobs/sha256/$digest"
run import ../layout
rm "$L/blobs/sha256/$digest"
run import ../layout
say documents that are none
echo '{' >"$L/index.json"
run import ../layout
echo '{"schemaVersion":2,"manifests":[]}' >"$L/index.json"
run import ../layout
echo '{"schemaVersion":2,"manifests":[{},{}]}' >"$L/index.json"
code import ../layout
echo '{"schemaVersion":2,"manifests":[{"mediaType":"x","size":-1,"digest":"sha256:0"}]}' >"$L/index.json"
run import ../layout
printf '%0.s[' {1..100} >"$L/index.json"
run import ../layout
rm "$L/oci-layout"
run import ../layout
run log
