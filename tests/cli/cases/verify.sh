# verify: what is damaged is found, with the snapshots and paths that show it.
mkdir -p d/e
printf 'one\n' >a
printf 'two\n' >d/b
printf 'x\n' >d/e/f
ln a h
touch -d 2020-01-01 a d/b d/e/f d/e d .
store=$HERE/store
snapctl -q init --store "$store"
snapctl -q take --no-sync
printf 'three\n' >d/b
mv d/e d/g
touch -d 2020-01-01 d/b d .
snapctl -q take
snapctl -q rollback 1
rm -r d
touch -d 2020-01-01 .
snapctl -q take -m gone
snapctl -q tag 2 second
run verify
json verify --quick
run verify second
cp -a "$store" "$HERE/whole"

# Damages the store, looks, and makes it whole again.
damaged() {
    say "$1"
    (cd "$store" && eval "$1")
    shift
    run verify "$@"
    rm -r "$store"
    cp -a "$HERE/whole" "$store"
}

damaged "printf X | dd of=layers/1/tree/d/b conv=notrunc status=none; touch -d 2020-01-01 layers/1/tree/d/b"
damaged "printf X | dd of=layers/1/tree/d/b conv=notrunc status=none; touch -d 2020-01-01 layers/1/tree/d/b" --quick
damaged "printf X | dd of=layers/1/tree/d/b conv=notrunc status=none" second
damaged "rm layers/1/tree/d/e/f; touch -d 2020-01-01 layers/1/tree/d/e"
damaged "rm -r layers/1/tree/d/e; touch -d 2020-01-01 layers/1/tree/d"
damaged "chmod 600 layers/1/tree/a"
damaged "echo >layers/2/tree/d/new; touch -d 2020-01-01 layers/2/tree/d"
damaged "cp -p layers/1/tree/a layers/1/tree/c; mv layers/1/tree/c layers/1/tree/h; touch -d 2020-01-01 layers/1/tree"
damaged "rm layers/1/tree/d/e/f; ln layers/1/tree/a layers/1/tree/d/e/f; touch -d 2020-01-01 layers/1/tree/d/e"
damaged "rm layers/3/tree/d; touch -d 2020-01-01 layers/3/tree"
damaged "mkdir layers/2/tree/d/x; touch -d 2020-01-01 layers/2/tree/d"
damaged "rm -r layers/2/tree"
damaged "rm -r layers/2"
damaged "mkdir layers/x layers/99"
damaged "sed -i s/mode=0644/mode=0600/ layers/1/manifest"
damaged "truncate -s -1 layers/1/manifest"
damaged "rm layers/1/manifest"
damaged "rm layers/2/facts"
damaged "echo >>layers/2/facts"
damaged "mkdir -p held/77 other"
damaged "rm store.db"
damaged "head -c 20000 /dev/zero >store.db; rm -f store.db-wal"

say "and says so as JSON"
printf X | dd of="$store/layers/1/tree/a" conv=notrunc status=none
json verify
