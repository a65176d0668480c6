# A database that is open across a rollback: refused with the process, --force goes on.
command -v sqlite3 >/dev/null || skip "there is no sqlite3(1)"
sqlite3 data.db 'CREATE TABLE t (x); INSERT INTO t VALUES (1);'
echo 1 >beside
snapctl -q take
mkfifo "$HERE/in" "$HERE/out"
sqlite3 data.db <"$HERE/in" >"$HERE/out" &
database=$!
exec 8>"$HERE/in" 9<"$HERE/out"
echo "BEGIN IMMEDIATE; INSERT INTO t VALUES (2); COMMIT; SELECT 'ready';" >&8
read -r -u 9 answer
echo "$answer"
echo 2 >beside
run rollback | sed "s/$database/N/g"
json rollback | sed "s/$database/N/g"
say "nothing was written"
cat beside
run status --porcelain
say "a path that is not open goes back alone"
run rollback -- beside
cat beside
say "forced"
run rollback --force
exec 8>&- 9<&-
wait $database
sqlite3 data.db 'SELECT x FROM t'
run undo
sqlite3 data.db 'SELECT x FROM t'
say "reading is no obstacle"
sqlite3 data.db 'INSERT INTO t VALUES (3)'
exec 7<data.db
run rollback
exec 7<&-
