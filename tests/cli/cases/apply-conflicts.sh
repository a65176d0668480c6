# apply where both sides changed something: nothing is written, unless it is said who wins.
need_fuse
mkdir -p dir gone moved kept
for name in both same ours theirs deleted-here deleted-there times mode dir/file gone/file gone/other moved/file kept/file; do
    echo base >"$name"
done
snapctl -q take -n base
mkdir "$HERE/try"
snapctl -q workspace add --from base try "$HERE/try"
cd "$HERE/try" || exit
echo theirs >both
echo equal >same
echo theirs >theirs
echo theirs >deleted-here
rm deleted-there
chmod 600 mode
echo theirs >added
echo equal >added-same
rm -r gone
echo theirs >dir/file
mv moved away
mkdir new
echo theirs >new/file
echo theirs >new/theirs
cd "$HERE/project" || exit
echo ours >both
echo equal >same
echo ours >ours
rm deleted-here
echo ours >deleted-there
chmod 640 mode
echo ours >added
echo equal >added-same
echo ours >gone/file
touch -d 2001-01-01 times
rm -r dir
mv moved elsewhere
mkdir new
echo ours >new/file
before=$(find . -type f -exec md5sum {} + | sort)
run apply try
run apply --dry-run try
json apply try
[ "$before" = "$(find . -type f -exec md5sum {} + | sort)" ] && echo unchanged
run apply try -- theirs new/theirs
cat theirs new/*

say the project wins
run apply --ours try
run status
run undo

say the workspace wins where it can
run apply --theirs try
run apply --theirs try -- both added deleted-here deleted-there mode gone new
cat both added deleted-here new/file
ls deleted-there gone 2>&1
stat -c %a mode
run undo
cat both added new/file gone/file

say a file that is open
exec 3>>ours.log
cd "$HERE/try" || exit
echo more >ours.log
cd "$HERE/project" || exit
code apply --theirs try -- ours.log
run apply --theirs --force try -- ours.log
exec 3>&-
cat ours.log
