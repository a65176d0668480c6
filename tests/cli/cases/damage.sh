# A store that is damaged gives exit code 5 and no crash.
make_project
snapctl -q init --store "$HERE/store"
snapctl -q take
head -c 20000 /dev/urandom >"$HERE/store/store.db"
rm -f "$HERE/store/store.db-wal" "$HERE/store/store.db-shm"
code take
code log
snapctl --json log 2>/dev/null | sed -E 's/"(message|hint)":"[^"]*"/"\1":X/g'
