# A workspace over the project directory itself: commands there mean the workspace, and --project what lies below.
need_fuse
make_project
mkdir sub
echo s >sub/file
snapctl -q take -n base
project=$PWD
run mount base .
run workspace add --from base hiding "$HERE/state"
run workspace add --from base try .
run status
cd "$HERE" || exit
cd "$project/sub" || exit
run workspace list
echo two >>../a.txt
rm file
run status
run diff -p
run --project status
run --project diff
run log
run ls base:sub
run mount
run --project take -n below
run apply --dry-run try
run apply try
run --project status
run restore base:a.txt "$HERE/out"
run undo
run --project rollback base -- .
cd "$HERE" || exit
run -C "$project" status
run umount "$project"
run -C "$project" status

say one that follows
cd "$project" || exit
run workspace add --follow live .
cd "$HERE" || exit
echo three >>"$project/a.txt"
cat "$project/a.txt"
run -C "$project" --project status
umount_pid=$(cd "$project" && served_by "$project")
[ -n "$umount_pid" ] && echo served
run umount "$project"
cat "$project/a.txt"
run -C "$project" mount live "$project"
cat "$project/a.txt"
mkdir "$HERE/else"
run -C "$project" workspace add --follow more "$HERE/else"
cat "$HERE/else/a.txt"
run umount "$HERE/else"
run umount "$project"

say its process is killed
cd "$project" || exit
snapctl -q mount try .
cd "$HERE" || exit
pid=$(cd "$project" && served_by "$project")
kill -KILL "$pid"
await_end "$pid"
run -C "$project" status
run umount "$project"
run -C "$project" mount

say in a command that is run
cd "$project/sub" || exit
need_namespaces
# shellcheck disable=SC2016
run run --apply no -- sh -c 'echo n >new; rm ../a.txt; "$SNAPCTL" status; "$SNAPCTL" --project status; "$SNAPCTL" workspace list | sed "s/.*  //"'
