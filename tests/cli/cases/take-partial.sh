# What cannot be read is named, the rest is captured, and the exit status is 3.
make_project
echo secret >secret
chmod 000 secret
if [ "$(id -u)" -eq 0 ]; then
    command -v setpriv >/dev/null || skip "there is no setpriv(1)"
    setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SNAPCTL" || skip "another user cannot run the program"
    chmod 755 "$HERE/.." && chown -R 65534:65534 "$HERE"
    cat >"$HERE/as-other" <<END
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAPCTL" "\$@"
END
    chmod 755 "$HERE/as-other"
    SNAPCTL=$HERE/as-other
fi
run take
json take
run -q take
snapctl ls -l 1:secret | sed 's#^\(..........\).*  *\(secret .*\)#\1 \2#'
chmod 644 secret
run take
run cat latest:secret
say "what could not be read is not made up, nor is what stands there thrown away"
run cat 1:secret
json cat 1:secret
run restore 1:secret copy
json restore 1 "$HERE/all"
ls "$HERE/all"
run rollback 1
cat secret
run undo
rm secret
run rollback 1
ls
run rollback latest
cat secret
