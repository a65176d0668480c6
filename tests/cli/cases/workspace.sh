# workspace add, list, remove: changes that do not reach the project.
need_fuse
make_project
mkdir "$HERE/try" "$HERE/other"
run workspace add try "$HERE/try"
cd "$HERE/try" || exit
diff -r --no-dereference "$HERE/project" . && echo same
echo two >>a.txt
rm link
mkdir -p new/er
ln a.txt new/er/hard
mv src moved
chmod 600 moved/main.c
ls -A
cat a.txt
stat -c '%a %h' moved/main.c new/er/hard
cd "$HERE/project" || exit
echo three >a.txt
cat "$HERE/try/a.txt" a.txt
run status
run workspace list
json workspace list
run mount

say it stays
run workspace remove try
run umount "$HERE/try"
run workspace list
run mount
json mount try "$HERE/other"
cat "$HERE/other/a.txt"
find "$HERE/other" -mindepth 1 -printf '%P\n' | sort
run mount try "$HERE/try"
run umount "$HERE/other"
run workspace list

say what it stands on
snapctl -q take -n good
run workspace add --from 1 old "$HERE/try"
cat "$HERE/try/a.txt"
run workspace add -o noatime --from good other "$HERE/other"
cat "$HERE/other/a.txt"
run mount
run umount "$HERE/other"

say removed and brought back
run workspace remove other
json workspace remove try
run workspace list
run mount try "$HERE/other"
run undo
run workspace list
json undo
run redo
run op log | sed -E 's,(try|old|other) /.*,\1 DIR,'
run umount "$HERE/try"
run workspace list
