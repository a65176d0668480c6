# --wait goes on when the other command ends; interrupted, JSON says so too.
command -v flock >/dev/null || skip "there is no flock(1)"
make_project
run init --store "$HERE/store"
exec 9<>"$HERE/store/run/lock"
flock 9
# it waits once its signals are caught, and they are caught before the store is opened
waits() {
    while ! grep -Eq '^SigCgt:.*[4-7c-f][0-9a-f]{3}$' "/proc/$1/status" 2>/dev/null && kill -0 "$1"; do :; done
}
"$SNAPCTL" --wait --json take >"$HERE/stdout" 2>"$HERE/stderr" 9>&- &
waiting=$!
waits $waiting
kill -INT $waiting
kill -TERM $waiting
wait $waiting
echo "exit $?"
"$CHECK_JSON" <"$HERE/stdout"
sed 's/^/! /' "$HERE/stderr"
"$SNAPCTL" --wait take >"$HERE/stdout" 2>"$HERE/stderr" 9>&- &
waiting=$!
waits $waiting
say "readers do not wait"
run log
exec 9>&-
wait $waiting
echo "exit $?"
cat "$HERE/stdout" "$HERE/stderr"
run log
