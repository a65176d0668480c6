# Directories of one's own that may not be searched: who is not root goes through them all the same, and leaves them as they are to be.
make_project
as_user() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    command -v setpriv >/dev/null || skip "there is no setpriv(1)"
    setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SNAPCTL" || skip "another user cannot run the program"
    chmod 755 "$HERE/.."
    as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
    chown -R 65534:65534 "$HERE" "$HERE"/{home,state,project}
    cat >"$HERE/as-other" <<END
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAPCTL" "\$@"
END
    chmod 755 "$HERE/as-other"
    SNAPCTL=$HERE/as-other
fi
as_user mkdir -p shut/below
echo one | as_user tee shut/file shut/below/file other >/dev/null
run take
say "mode 0600 in the newest snapshot, with what was known of its inside"
as_user chmod 600 shut/below
as_user chmod 600 shut
run take
say "gone, and back"
as_user chmod 700 shut
as_user chmod 700 shut/below
rm -r shut
echo two | as_user tee other >/dev/null
run take
run rollback 2
stat -c %A shut
as_user chmod 700 shut && stat -c %A shut/below && as_user chmod 700 shut/below && cat shut/file shut/below/file
as_user chmod 600 shut/below
as_user chmod 600 shut
say "and gone again, through it"
run undo
ls
run redo
stat -c %A shut
say "once it may be searched, all of it can be gone back to"
as_user chmod 700 shut
run rollback 1
stat -c %A shut shut/below
cat shut/file shut/below/file other
