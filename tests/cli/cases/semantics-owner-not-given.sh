# A rollback by who may not give files back to their owner: undo and redo compare with what it left, not with what it wanted.
need_root "have files of somebody else's"
command -v setpriv >/dev/null || skip "there is no setpriv(1)"
setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SNAPCTL" || skip "another user cannot run the program"
chmod 755 "$HERE/.."
mkdir theirs
echo one >theirs/file
echo one >file
echo one >mine
chmod 4755 file
chown 65534:65534 "$HERE" "$HERE"/{home,state,project} mine
cat >"$HERE/as-other" <<END
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAPCTL" "\$@"
END
chmod 755 "$HERE/as-other"
SNAPCTL=$HERE/as-other
run take
mv theirs "$HERE/away"
rm -f file
echo two >mine
run take
run rollback 1
run status
run undo
cat mine
ls
run redo
ls -A . theirs
say "a take in between changes nothing of that"
run take
run undo 4
ls
run redo
say "but what somebody changed since is a conflict"
chmod 600 file
run undo
chmod 755 file
run undo
