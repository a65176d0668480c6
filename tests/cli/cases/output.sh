# Output that cannot be written, closed descriptors, quiet.
make_project
snapctl -q take
say "a full disk"
"$SNAPCTL" log >/dev/full
echo "exit $?"
"$SNAPCTL" --json log >/dev/full
echo "exit $?"
"$SNAPCTL" help >/dev/full
echo "exit $?"
"$SNAPCTL" cat 1:a.txt >/dev/full
echo "exit $?"
say "a reader that went away"
mkfifo "$HERE/pipe"
# shellcheck disable=SC2094
exec 8<>"$HERE/pipe" 9>"$HERE/pipe" 8<&-
"$SNAPCTL" ls -R 1 >&9
echo "exit $?"
"$SNAPCTL" cat 1:a.txt >&9
echo "exit $?"
"$SNAPCTL" --json log >&9
echo "exit $?"
exec 9>&-
say "closed"
"$SNAPCTL" log >&-
echo "exit $?"
"$SNAPCTL" -q take >&- 2>&-
echo "exit $?"
"$SNAPCTL" nonsense 2>&-
echo "exit $?"
say "and the project is well"
run status
run log
