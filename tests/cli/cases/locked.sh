# A store that another command holds: said, or waited for.
command -v flock >/dev/null || skip "there is no flock(1)"
make_project
run init --store "$HERE/store"
exec 9<>"$HERE/store/run/lock"
flock 9
run take
json take
run --wait --json log
say "interrupted while waiting"
"$SNAPCTL" --wait take 2>"$HERE/stderr" &
waiting=$!
# it waits once its signals are caught, and they are caught before the store is opened
while ! grep -Eq '^SigCgt:.*[4-7c-f][0-9a-f]{3}$' "/proc/$waiting/status" 2>/dev/null && kill -0 $waiting; do :; done
kill -TERM $waiting
wait $waiting
echo "exit $?"
sed 's/^/! /' "$HERE/stderr"
exec 9>&-
run take
