# diff: what differs between snapshots, or a snapshot and the project.
make_project
snapctl -q take -n one
echo two >>a.txt
mv src/main.c src/moved.c
snapctl -q take -n two
rm link
echo three >b.txt
run diff
run diff one
run diff one two
run diff two one
run diff latest~1 latest --exit-code
run diff two two
run diff two two --exit-code
run diff --name-status one two
run diff --no-renames one two
run diff --porcelain one two
json diff one two
say "-z: the old path comes first"
snapctl diff -z one two | tr '\0' '|'
echo
say "paths"
run diff one -- src
run diff -- b.txt
run diff one two -- a.txt src/moved.c
cd src || exit
run diff one two -- moved.c
run diff one -- ..
