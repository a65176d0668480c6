# gc: space of removed snapshots, now and past the hold.
layers() { (cd "$(snapctl -v log 2>&1 >/dev/null | sed -n "s/.*store '\(.*\)'.*/\1/p")/layers" && find . -type f -path '*/tree/*' | sort); }
mkdir d
echo one >d/f
echo kept >d/kept
snapctl -q take -n one
echo two >d/f
echo only >d/only-in-two
snapctl -q take -n two
echo three >d/f
rm d/only-in-two
snapctl -q take
run gc
run rm one two
run gc
json gc
run undo
run ls -R two
run redo
run gc --now
run undo
run undo 7
run show 1
run ls -R 3
run cat 3:d/kept
run cat 3:d/f
run status
run log d/f
run log d/kept
run gc --now
json gc --now
run op log
say 'the newest, and what rollback kept'
echo four >d/f
snapctl -q take
echo five >d/f
snapctl -q rollback 3
run rm latest
run gc --now
run log -a
run undo
run status
echo six >d/f
run take
run diff 3 latest
run gc --now=1
run gc 5
