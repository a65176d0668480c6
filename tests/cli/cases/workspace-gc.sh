# gc and workspaces: what one stands on stays; a removed one goes when its removal can no longer be undone.
need_fuse
make_project
snapctl -q take -n base
mkdir "$HERE/try" "$HERE/then"
store() {
    (cd "$HERE"/state/snapctl/project-*/ && find workspaces layers -mindepth 1 -maxdepth 1 | sort)
}
snapctl -q workspace add --from base try "$HERE/try"
echo more >>"$HERE/try/a.txt"
snapctl -q mount base "$HERE/then"
snapctl -q rm base
run gc --now
say "who uses it is told, as long as it is used"
run show 1
json show 1 | sed -E 's/"total_bytes":[0-9]+/"total_bytes":N/'
run du | head -n 3
snapctl --json du | head -n 1 | "$CHECK_JSON"
cat "$HERE/try/a.txt" "$HERE/then/a.txt"
snapctl -q umount "$HERE/then"
run du | head -n 3
snapctl -q umount "$HERE/try"
run gc --now
run show 1
run mount try "$HERE/try"
cat "$HERE/try/a.txt"
run umount "$HERE/try"
run workspace remove try
run gc
run undo
run workspace list
snapctl -q workspace remove try
store
run gc --now
run undo
run gc --now
store
