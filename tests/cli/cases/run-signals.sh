# run: signals reach the command, its end by one is told as shells tell it, and what it leaves running is not forgotten.
# shellcheck disable=SC2016
need_fuse
need_namespaces
make_project
mkfifo "$HERE/ready" "$HERE/hold"
export HERE

say ended by a signal
run run -- sh -c 'echo two >>a.txt; kill -9 $$'
run run --apply yes -- sh -c 'echo two >>a.txt; kill -HUP $$'
json run -- sh -c 'kill -15 $$'
run workspace list
snapctl -q workspace remove run-1
snapctl -q workspace remove run-2

# passes SIGNAL: sent to snapctl alone
passes() {
    "$SNAPCTL" run -- sh -c "trap 'echo got $1; exit 7' $1; exec 3<>'$HERE/hold'; echo >'$HERE/ready'; while :; do read -r line <&3; done" &
    local pid=$!
    read -r line <"$HERE/ready"
    kill "-$1" $pid
    wait $pid
    echo "exit $?"
}
say passed on
passes TERM
passes USR1
passes HUP

say killed itself
("$SNAPCTL" run -- sh -c "echo three >>a.txt; echo >'$HERE/ready'; read -r line <'$HERE/hold'" & echo $! >"$HERE/pid")
pid=$(cat "$HERE/pid")
read -r line <"$HERE/ready"
run workspace list
kill -KILL "$pid"
await_end "$pid"
dir=$(snapctl --json mount | sed -n 's/.*"dir":"\([^"]*\)".*/\1/p')
snapctl umount "$dir" 2>&1 | sed "s#$HERE#/HERE#"
server=$(served_by "$dir")
echo >"$HERE/hold"
until snapctl -q umount "$dir" 2>/dev/null; do :; done
await_end "$server"
cat a.txt
run workspace remove run-1
find "$HERE/tmp" -mindepth 1

say left running
run run -- sh -c '(read -r line <"$HERE/hold") & echo two >>a.txt'
run workspace list
dir=$(snapctl --json mount | sed -n 's/.*"dir":"\([^"]*\)".*/\1/p')
run umount "$dir"
released() {
    echo >"$HERE/hold"
    until snapctl -q umount "$1" 2>/dev/null; do :; done
}
released "$dir"
json run -- sh -c '(read -r line <"$HERE/hold") &'
released "$(snapctl --json mount | sed -n 's/.*"dir":"\([^"]*\)".*"state":"mounted".*/\1/p')"
run apply run-1
run workspace remove run-1
run workspace remove run-2

say waited for
mkfifo "$HERE/said"
"$SNAPCTL" run --wait --apply no -- sh -c '(read -r line <"$HERE/hold"; echo late >late) &' 2>"$HERE/said" &
exec 3<"$HERE/said"
read -r line <&3
echo "$line"
echo >"$HERE/hold"
cat <&3
exec 3<&-

say killed
run run --kill --apply no -- sh -c '(trap "" TERM; echo >"$HERE/ready"; read -r line <"$HERE/hold") & read -r line <"$HERE/ready"; (read -r line <"$HERE/hold") &'
run workspace list
