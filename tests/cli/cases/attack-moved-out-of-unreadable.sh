# A directory that was moved out of one that cannot be listed now is in one place only, and nothing is said to go on changing.
mkdir -p x/y
echo 1 >x/y/f
echo 2 >x/g
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
snapctl -q take
mv x/y moved
chmod 000 x
run take
chmod 755 x
run diff 1
run ls -R latest
