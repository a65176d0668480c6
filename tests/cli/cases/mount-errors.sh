# What mount and umount refuse, and what they say then.
need_fuse
make_project
snapctl -q --store "$HERE/store" take
mkdir "$HERE/then"
run mount 1
run mount -f
run mount 2 "$HERE/then"
run mount 1 "$HERE/nowhere"
run mount 1 a.txt
run mount 1 ''
run mount 1 "$HERE/store/run"
run mount -o rw 1 "$HERE/then"
code mount -o no_such_option 1 "$HERE/then"
run umount "$HERE/then"
run umount "$HERE/nowhere"
run umount
run umount a b
run mount 1 "$HERE/then"
run mount 1 "$HERE/then"

say in use
exec 3<"$HERE/then/src/main.c"
run umount "$HERE/then" 3<&-
exec 3<&-
run umount "$HERE/then"

say no project
cd "$HERE/then" || exit
run mount
run mount 1 .
