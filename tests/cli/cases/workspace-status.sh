# status and diff in a workspace: what was changed there, against what it stands on.
need_fuse
make_project
mkdir -p src/deep gone/below
seq 100 >src/deep/numbers
echo g >gone/below/file
echo same >rewritten
chmod 640 a.txt
snapctl -q take -n base
mkdir "$HERE/try"
snapctl -q workspace add --from base try "$HERE/try"
cd "$HERE/try" || exit
run status
run status --exit-code

say changes of every kind
echo two >>a.txt
rm link
ln -s elsewhere link
mv src moved
chmod 600 moved/main.c
rm -r gone
mkdir gone new
echo n >gone/new
echo same >rewritten
echo y >new/file
ln new/file new/linked
mkfifo pipe
rm moved/deep/numbers
seq 101 >moved/deep/numbers
run status
run diff
run diff --no-renames
run diff -p -- a.txt
run status --porcelain
code status --exit-code
json status
json diff -- new

say below
cd moved || exit
run diff -- main.c
run -v status | head -n 2 | sed "s#/snapctl/.*#/snapctl/...#"

say the project is meant
run --project status
run log
run ls base:src
echo more >>"$HERE/project/a.txt"
run --project status
run status --project
run --project diff -p
run restore base:a.txt here.txt
cat here.txt

say back to nothing
cd "$HERE/try" || exit
rm -rf ./*
snapctl restore base: ../back 2>&1 | sed "s#$HERE#/HERE#"
cp -a ../back/. .
run status
run diff base

say after it was mounted again
cd "$HERE/project" || exit
snapctl -q umount "$HERE/try"
mkdir "$HERE/other"
snapctl -q mount try "$HERE/other"
echo again >"$HERE/other/a.txt"
run -C "$HERE/other" status

say one that follows
snapctl -q workspace add --follow live "$HERE/try"
run -C "$HERE/try" status
