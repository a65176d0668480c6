# watch: where the kernel allows too few watches, what is not covered is compared each time, and that is said.
limited() {
    unshare -Ur sh -c 'echo 4 >/proc/sys/user/max_inotify_watches && exec "$@"' sh "$@"
}
limited true 2>"$HERE/stderr" || skip "no limits of one's own: $(head -n 1 "$HERE/stderr")"
watching() {
    "$@" | sed -E 's/pid [0-9]+/pid N/; s/\) since .*/) since THEN/; s/"(since|events)":[0-9]+/"\1":N/g; s/"pid":[0-9]+/"pid":N/'
}
make_project
snapctl -q init --store "$HERE/store"
mkdir -p a/b/c/d/e f
echo 1 >a/b/c/d/e/deep
echo 1 >f/shallow
snapctl -q take
limited "$SNAPCTL" -q watch start --backend inotify
trap 'snapctl -q watch stop' EXIT
snapctl -q take
watching run watch status
watching json watch status
snapctl doctor | grep -A 1 ' watcher ' | sed -E 's/pid [0-9]+/pid N/'
run status
echo 22 >a/b/c/d/e/deep
echo 22 >f/shallow
mkdir -p a/b/c/d/new/newer
echo 3 >a/b/c/d/new/newer/file
run status
snapctl -q take
run status
echo 33 >a/b/c/d/new/newer/file
run status
