# undo restores only what the operation changed and left as it was; all else is a conflict, listed, and nothing is written.
for name in changed chmodded removed replaced same untouched; do
    echo 1 >$name
done
snapctl -q take
for name in changed chmodded removed replaced same; do
    echo two >$name
done
echo two >created
mkdir dir
echo two >dir/inside
snapctl -q rollback
echo mine >changed
chmod 600 chmodded
rm removed
rm replaced && mkdir replaced
echo mine >created
mkdir dir
echo mine >dir/other
echo 'changed since, but not by the rollback' >untouched
echo new >new
snapctl diff --porcelain >"$HERE/before"
run undo
json undo
say "nothing was written"
snapctl diff --porcelain | diff "$HERE/before" - && cat changed same untouched
say "--force captures all that first"
run undo --force
tail -n +1 changed chmodded removed replaced same untouched created new dir/inside
ls dir
run rollback --dry-run 3
run rollback 3
tail -n +1 changed created new untouched dir/other
ls -d removed replaced
snapctl diff --porcelain 1 | diff "$HERE/before" - && echo "as it was before"
