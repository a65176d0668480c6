# watch: take and status look at what the watcher names, and miss nothing.
command -v flock >/dev/null || skip "there is no flock(1)"
make_project
snapctl -q init --store "$HERE/store"
trap 'snapctl -q watch stop' EXIT
# what differs from run to run
watching() {
    "$@" | sed -E 's/pid [0-9]+/pid N/; s/since .*/since THEN/; s/^watches .*/watches  N/; s/:[0-9]+/:N/g'
}
run watch stop
mkdir -p a/b c
echo 1 >a/b/f
echo 1 >c/g
snapctl -q take
watching run watch start --backend inotify
watching run watch start
snapctl doctor | grep ' watcher ' | sed -E 's/pid [0-9]+/pid N/'
snapctl -q take
echo 22 >a/b/f
rm c/g
mkdir -p new/deep
echo 3 >new/deep/h
mv a moved
run status
json status
say "stores into a mapping are told by nothing"
python3 - <<'TEXT'
import mmap, os, subprocess
fd = os.open('moved/b/f', os.O_RDWR)
m = mmap.mmap(fd, 0)
os.close(fd)
m[0:1] = b'x'
print(subprocess.run([os.environ['SNAPCTL'], 'diff', '-p', '--', 'moved/b/f'], capture_output=True, text=True).stdout)
TEXT
snapctl -q take
run status
say "a second name changes the first"
ln moved/b/f other
snapctl -q take
echo more >>other
run status
snapctl -q take
say "going back"
run rollback 2
run status
run undo
run status
watching json watch status
watching run watch stop
run watch status
say "killed without a word"
snapctl -q watch start --backend inotify
snapctl -q take
kill -9 "$(snapctl --json watch status | sed 's/.*"pid":\([0-9]*\).*/\1/')"
flock "$HERE/store/run/watch.lock" true       # given back by its last breath
echo unseen >unseen
run status
snapctl -q watch start --backend inotify
run status
snapctl -q take
run status
run watch start --backend none
