# What JSON the other cases have no example of: with them, it is all that snapctl-json(5) tells of.
need_fuse
make_project
snapctl -q take -n one
snapctl -q take -m "to be removed"
trap 'snapctl -q watch stop; unmount_ours' EXIT
changing() { "$@" | sed -E 's/"(since|watches|events|noted)":[0-9]+/"\1":N/g'; }
json rm 2
json export one -o "$HERE/image.oci" | sed -E 's/"written":[0-9]+/"written":N/'
changing json watch start --backend inotify
changing json watch stop
mkdir "$HERE/try"
json workspace add try "$HERE/try" --from one
json workspace list
json status
json umount "$HERE/try"
say "a watcher that was killed leaves no word, one that failed does"
printf 'it is tired' >"$(snapctl --json init | sed 's/.*"store":"\([^"]*\)".*/\1/')/run/watch.ended"
json watch status
say "an operation that is not finished, while another command holds the store"
command -v flock >/dev/null || skip "there is no flock(1)"
command -v sqlite3 >/dev/null || skip "there is no sqlite3(1)"
echo two >a.txt
snapctl -q rollback one
store=$(snapctl --json init | sed 's/.*"store":"\([^"]*\)".*/\1/')
sqlite3 "$store/store.db" "UPDATE operation SET state = 'begun' WHERE kind = 'rollback'"
flock "$store/run/lock" "$SNAPCTL" --json status 2>/dev/null | "$CHECK_JSON"
