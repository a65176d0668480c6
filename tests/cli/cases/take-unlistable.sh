# A directory that cannot be listed is named each time; that alone makes no snapshot, and rollback leaves it alone.
need_root "have a directory of somebody else's"
make_project
mkdir -m 700 theirs
echo x >theirs/file
chmod 755 "$HERE/.." && chown 65534:65534 "$HERE" "$HERE"/{home,state,project} a.txt src src/main.c
command -v setpriv >/dev/null || skip "there is no setpriv(1)"
setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SNAPCTL" || skip "another user cannot run the program"
cat >"$HERE/as-other" <<END
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAPCTL" "\$@"
END
chmod 755 "$HERE/as-other"
SNAPCTL=$HERE/as-other
run take
run take --if-changed
echo more >>a.txt
run rollback
run status
run undo
say "what changed of it is seen"
chown 65534:65534 theirs
chmod 750 theirs
run status
run take
