# prune: policies and their reasons; times are the snapshots' own, set in the database.
db() { sqlite3 "$XDG_STATE_HOME"/snapctl/*/store.db "$1"; }
command -v sqlite3 >/dev/null || skip "there is no sqlite3(1) to set times"
at() { db "UPDATE snapshot SET created_sec = $(date -u -d "$2" +%s), created_nsec = 0 WHERE id = $1"; }
n=0
for when in '2025-03-01 10:00' '2026-01-05 10:00' '2026-01-20 10:00' '2026-01-25 09:00' '2026-01-25 18:00' '2026-01-26 08:00' '2026-01-26 08:40'; do
    n=$((n + 1))
    head -c $((n * 1000)) /dev/zero >"f$n"
    snapctl -q take
    at $n "$when"
done
run tag 2 release
run prune
run prune --dry-run
run prune --keep-last 2 --dry-run
run prune --keep-hourly 2 --dry-run
run prune --keep-daily 2 --keep-tag --dry-run
run prune --keep-weekly 2 --dry-run
run prune --keep-monthly 9 --dry-run
run prune --keep-yearly 1 --dry-run
run prune --keep-within 1d2h --dry-run
run prune --keep-size 28K --dry-run
run prune --keep-size 1 --dry-run
run prune --keep-within 2x
run prune --keep-within w
run prune --keep-size 5Q
run prune --keep-size 0
run prune --keep-last 0
run prune --keep-last
run prune 5
json prune --keep-last 1 --keep-tag --dry-run
run prune --keep-last 2 --keep-tag
run log
run undo
run log
run redo
run -q prune --keep-last 2 --keep-tag
run gc --now
run log
run ls 2
run ls 7
