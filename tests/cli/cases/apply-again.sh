# apply, and what is changed afterwards: what was applied is what the workspace is compared with from then on.
need_fuse
make_project
seq 10 >numbers
snapctl -q take -n base
mkdir "$HERE/try"
snapctl -q workspace add --from base try "$HERE/try"
mkdir "$HERE/try/new"
echo n >"$HERE/try/new/file"
mv "$HERE/try/src" "$HERE/try/moved"
sed -i 's/^3$/three/' "$HERE/try/numbers"
run apply try
run -C "$HERE/try" status
run -C "$HERE/try" log

say the project goes on, and that is nobody else\'s
sed -i 's/^3$/3/;s/^three$/tres/' numbers
echo mine >new/file
rm moved/main.c
run apply --dry-run try
run apply try
cat new/file

say so does the workspace
echo more >>"$HERE/try/a.txt"
rm "$HERE/try/link"
mv "$HERE/try/new" "$HERE/try/newer"
run apply --dry-run try
json apply try
ls
cat newer/file
sed -n 3p numbers
run -C "$HERE/try" status

say what is taken back is not applied
run undo
ls
run apply try
ls
cat newer/file

say one path alone
echo again >>"$HERE/try/a.txt"
echo again >>"$HERE/try/numbers"
run apply try -- a.txt
run apply try
run apply --ours try
run apply try
run verify

say conflicts are with what was applied
echo theirs >"$HERE/try/a.txt"
echo ours >a.txt
run apply try
run umount "$HERE/try"
run apply --theirs try
cat a.txt
run apply try
run workspace remove try
run gc --now
run verify
