# take, log, diff, rollback and undo in a workspace: a line of snapshots of its own.
need_fuse
make_project
mkdir -p src/deep gone/below
seq 100 >src/deep/numbers
echo g >gone/below/file
ln a.txt hard
snapctl -q take -n base
mkdir "$HERE/try" "$HERE/then"
snapctl -q workspace add --from base try "$HERE/try"
cd "$HERE/try" || exit
run take --if-changed
run log
exec 3>>open.txt
echo first >&3
inode=$(stat -c %i open.txt src/main.c)
echo two >>a.txt
rm link
mv src moved
rm -r gone
mkdir gone new
echo n >gone/new
run take -m "first of its own" -n one
run status
run take --if-changed
echo second >&3
echo y >new/file
ln new/file new/linked
rm gone/new
mv new newer
chmod 600 moved/main.c
run status
json take -m second
run status
run log
json log -n 1
run log newer
run log a.txt
run diff base
run diff one
run diff base one
run diff latest~2 latest
run diff latest~1 base
run ls latest
[ "$inode" = "$(stat -c %i open.txt moved/main.c)" ] && echo same numbers

say the project is another line
run --project log
run --project status
run log --graph
cd "$HERE/project" || exit
run show 3
run export one -o - --format mtree | grep -v '^#' | cut -d' ' -f1
run mount 3 "$HERE/then"
diff -r --no-dereference "$HERE/try" "$HERE/then" && echo same
run umount "$HERE/then"
run restore one:a.txt then.txt
cat then.txt
rm then.txt
run restore 3: "$HERE/tree"
diff -r --no-dereference "$HERE/try" "$HERE/tree" && echo same
run undo
[ -e "$HERE/tree" ] || echo gone
run rollback one

say back
cd "$HERE/try" || exit
exec 3>&-
run rollback --dry-run one
run rollback one
run status
ls
cat a.txt hard open.txt
run undo
run status
run redo
run undo --project 6
run --project undo 9
run undo 6
run rollback base
diff -r --no-dereference "$HERE/project" . && echo same
run undo
run rollback 12
run rollback base -- a.txt moved/main.c
cat a.txt
run take -m third
run log --graph
run op log | cut -c 25-
run --project undo
echo third >>open.txt

say mounted again
cd "$HERE/project" || exit
snapctl -q umount "$HERE/try"
snapctl -q mount try "$HERE/try"
run -C "$HERE/try" status
run -C "$HERE/try" diff 5
run verify
