# verify --repair where the database and manifests are gone at once: their snapshots are put together from their layers.
command -v setfattr >/dev/null || skip "there is no setfattr(1)"
mkdir -p dir/old keep
echo one >dir/a
echo same >dir/old/b
echo kept >keep/c
echo with >x
setfattr -n user.colour -v red x 2>/dev/null || skip "no attributes here"
snapctl -q init --store "$HERE/store"
snapctl -q take --no-sync
echo two >dir/a
mv dir/old dir/new
mkdir dir/other
echo four >dir/other/d
ln dir/other/d dir/other/e
ln -s a dir/link
rm keep/c
snapctl -q take -n middle -m "in the middle"
echo three >dir/a
mv dir/other moved
echo five >moved/f
snapctl -q take -n newest
cp -a "$HERE/store" "$HERE/whole"
for n in 1 2 3; do snapctl -q restore $n: "$HERE/tree-$n"; done

# Loses the database and what else is said; what every snapshot shows has to be what it was.
lose() {
    say "$1"
    (cd "$HERE/store" && rm store.db* && eval "$1")
    snapctl verify --repair 2>&1 | grep -E '^(lost|repaired|found|! |.*put together)'
    run verify
    run log
    for n in 1 2 3; do
        snapctl -q restore $n: "$HERE/now" && diff -r "$HERE/tree-$n" "$HERE/now"
        (cd "$HERE/now" && find . -printf '%p %m %n %y %TY\n' | sort) >"$HERE/now.txt"
        (cd "$HERE/tree-$n" && find . -printf '%p %m %n %y %TY\n' | sort) | diff - "$HERE/now.txt" && echo "snapshot $n is whole"
        getfattr --absolute-names --only-values -n user.colour "$HERE/now/x" && echo
        rm -rf "$HERE/now"
    done
    run diff 2 3
    rm -r "$HERE/store"
    cp -a "$HERE/whole" "$HERE/store"
}

lose "rm layers/2/manifest"
lose "rm layers/1/manifest"
lose "rm layers/*/manifest"
lose "sed -i s/mode=0644/mode=0600/ layers/2/manifest"
lose "head -c 500 layers/2/manifest >x && mv x layers/2/manifest"
say "where the layer is gone, too, its snapshot is lost, and nothing else"
(cd "$HERE/store" && rm -r store.db* layers/3)
run verify --repair
run log
for n in 1 2; do snapctl -q restore $n: "$HERE/now" && diff -r "$HERE/tree-$n" "$HERE/now" && echo "snapshot $n is whole"; rm -rf "$HERE/now"; done
