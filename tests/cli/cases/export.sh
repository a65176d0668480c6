# export: a snapshot as an archive.
make_project
touch -d @1000000000 a.txt src/main.c src . && touch -h -d @1000000000 link
snapctl -q init --store "$HERE/store"
snapctl -q take
run export 1 -o ../x.tar
tar -tvf ../x.tar --numeric-owner | sed -E "s/ [0-9]+\/[0-9]+ +[0-9]+ / U\/G /"
run export 1 -o ../x.tar
run export 1 -o ../y.tar --overwrite
run export 1 -o ../x.tar --overwrite
cmp ../x.tar ../y.tar && echo "the same bytes"
json export 1 -o ../z.tar
say "compressed as the name ends, and again the same"
for end in tar.gz tgz tar.xz txz tar.zst tzst; do
    snapctl -q export 1 -o "../c.$end"
    tar -xf "../c.$end" -O a.txt
    TZ=Asia/Tokyo LC_ALL=C.UTF-8 snapctl -q export 1 -o "../d.$end" && cmp "../c.$end" "../d.$end"
    rm "../c.$end" "../d.$end"
done
say "what a name tells, and what it does not"
run export 1 -o ../x
run export 1 -o ../x.tar.bz2
run export 1 -o ../x --format tar
run export 1 -o ../nodir/x.tar
run export 1 -o ../
run export 2 -o ../w.tar
run export -o ../w.tar
say "standard output"
terminal export 1
json export 1
"$SNAPCTL" export 1 | tar -tf - | wc -l
"$SNAPCTL" export 1 -o - | cmp - ../y.tar && echo "the same bytes"
"$SNAPCTL" -q export 1 --format tar -o /dev/stdout | cmp - ../y.tar && echo "the same bytes"
"$SNAPCTL" export 1 >/dev/full
echo "exit $?"
mkfifo "$HERE/pipe"
# shellcheck disable=SC2094
exec 8<>"$HERE/pipe" 9>"$HERE/pipe" 8<&-
"$SNAPCTL" export 1 >&9
echo "exit $?"
exec 9>&-
say "not into the store"
run export 1 -o "$HERE/store/layers/x.tar"
say "nothing else was left, and the project is as it was"
ls -A ..
run status
