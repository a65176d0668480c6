# How a mount ends otherwise than by umount: its process is told to, is killed, or what it shows goes away.
# shellcheck disable=SC2001,SC2002
need_fuse
make_project
snapctl -q --store "$HERE/store" take
mkdir "$HERE/then" "$HERE/other"

say told to end
snapctl -q mount 1 "$HERE/then"
pid=$(served_by "$HERE/then")
kill -TERM "$pid"
await_end "$pid"
run mount
ls "$HERE/then"

say by another program
snapctl -q mount 1 "$HERE/then"
pid=$(served_by "$HERE/then")
fusermount3 -u "$HERE/then" 2>/dev/null || umount "$HERE/then"
await_end "$pid"
run mount

say killed
snapctl -q mount 1 "$HERE/then"
pid=$(served_by "$HERE/then")
kill -KILL "$pid"
await_end "$pid"
run mount
json mount
run mount 1 "$HERE/then"
run umount "$HERE/then"
run mount
run mount 1 "$HERE/then"
run umount "$HERE/then"

say killed with somebody in it
snapctl -q mount 1 "$HERE/then"
pid=$(served_by "$HERE/then")
mkfifo "$HERE/hold"
(cd "$HERE/then" && cat "$HERE/hold") &
exec 3>"$HERE/hold"
kill -KILL "$pid"
await_end "$pid"
run umount "$HERE/then"
run mount
exec 3>&-
wait $!

say in the foreground
mkfifo "$HERE/said"
"$SNAPCTL" mount -f 1 "$HERE/then" >"$HERE/said" &
read -r line <"$HERE/said"
echo "$line" | sed "s#$HERE#/HERE#"
cat "$HERE/then/a.txt"
run umount "$HERE/then"
wait $!
echo "exit $?"

say removed by hand and shown on
snapctl -q mount 1 "$HERE/then"
rm "$HERE/store/layers/1/tree/a.txt"
cat "$HERE/then/a.txt" 2>&1 | sed "s#$HERE#/HERE#"
cat "$HERE/then/src/main.c" | head -n 1
sed -E 's/^[^ ]+/TIME/' "$HERE"/store/run/mounts/1.log | sort -u

say the store goes away
pid=$(served_by "$HERE/then")
rm -rf "$HERE/store"
await_end "$pid"
ls "$HERE/then"
