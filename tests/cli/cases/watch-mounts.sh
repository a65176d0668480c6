# watch: what a mount hides and what comes to light when it goes is seen, though nobody tells.
need_root "mount something in a project"
make_project
snapctl -q init --store "$HERE/store"
mkdir -p a/b c
echo 1 >a/b/f
snapctl -q watch start --backend inotify
snapctl -q take
trap 'snapctl -q watch stop; umount a/b 2>/dev/null' EXIT
mount -t tmpfs none a/b 2>"$HERE/stderr" || skip "cannot mount: $(head -n 1 "$HERE/stderr")"
echo 2 >a/b/hidden
run status
snapctl -q take
echo 3 >a/b/hidden
run status
umount a/b
run status
snapctl -q take
echo 4 >>a/b/f
run status
