# After a rollback bytes, metadata and times are the snapshot's; inode numbers and ctimes may be new.
mkdir -p dir/sub
printf 'bytes\0\377' >file
dd if=/dev/zero of=sparse bs=1 count=1 seek=10M status=none
echo linked >one
ln one dir/two
ln -s ../file dir/link
mkfifo -m 620 pipe
printf '#!/bin/sh\n' >tool
chmod 4755 tool
setfattr -n user.note -v value file 2>/dev/null || skip "no user xattrs here"
setfacl -m u:1234:r file 2>/dev/null || skip "no ACLs here"
setfacl -d -m g:99:rx dir
touch -h -d '2001-02-03 04:05:06.123456789 UTC' dir/link
touch -d '2002-02-03 04:05:06.987654321 UTC' file one tool sparse pipe
chmod 555 dir/sub
touch -d '2003-02-03 04:05:06.5 UTC' dir/sub dir .
shown() {
    find . -printf '%P %y %M %n %s %T+ %l %U:%G\n' | sort
    find . -type f -exec sha256sum {} + | sort -k 2
    find . | sort | tr '\n' '\0' | xargs -0 getfattr -hd -m - --absolute-names 2>/dev/null
    find . ! -type l | sort | tr '\n' '\0' | xargs -0 getfacl 2>/dev/null
    stat -c '%h' one && [ one -ef dir/two ] && echo 'one object'
    [ -e sparse ] && [ "$(stat -c %b sparse)" -lt 100 ] && echo 'holes are holes'
}
shown >"$HERE/then"
snapctl -q take
run status
damage() {
    chmod 755 dir/sub
    rm -rf dir pipe one sparse
    echo other >file
    setfattr -x user.note file
    setfacl -b file
    chmod 600 tool
    mkdir new
    echo new >new/file
    ln -s nowhere one
}
damage
shown >"$HERE/damaged"
run rollback
shown | diff "$HERE/then" - && echo 'everything is as it was'
run status
run diff --times
say "and back"
snapctl -q undo
shown | diff "$HERE/damaged" - && echo 'everything is as it was before that'
