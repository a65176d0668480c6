# Rows that say too little are damage, and told with its exit code; the project stays as it is.
command -v sqlite3 >/dev/null || skip "there is no sqlite3(1)"
echo one >a
snapctl -q init --store "$HERE/store"
snapctl -q take
snapctl -q restore 1:a b
sqlite3 "$HERE/store/store.db" "UPDATE operation SET new_text = NULL WHERE kind = 'restore'"
run undo
cat b
sqlite3 "$HERE/store/store.db" "UPDATE operation SET state = 'begun' WHERE kind = 'restore'"
run take
cat b
