# verify --repair: what there is a copy of comes back, the rest is lost and said to be.
mkdir -p d/e
printf 'one\n' >a
printf 'two\n' >d/b
printf 'x\n' >d/e/f
ln a h
ln -s a l
touch -d 2020-01-01 a d/b d/e/f d/e d .
store=$HERE/store
snapctl -q init --store "$store"
snapctl -q take --no-sync
printf 'three\n' >d/b
mv d/e d/g
touch -d 2020-01-01 d/b d .
snapctl -q take
printf 'four\n' >d/b
touch -d 2020-01-01 d/b d .
snapctl -q take -m last
snapctl -q tag 2 second
cp -a "$store" "$HERE/whole"

# Damages the store, repairs it, looks again, and makes it whole again.
damaged() {
    say "$1"
    (cd "$store" && eval "$1")
    run verify --repair
    run verify
    [ $# -eq 1 ] || "$2"
    rm -r "$store"
    cp -a "$HERE/whole" "$store"
}

look_at_lost() {
    run cat 2:d/b
    run ls -l 2:d/b
    json ls 2:d/b
    json show 2
    run show 2
    run restore 2:d/b "$HERE/tmp/b"
    run restore 2: "$HERE/tmp/all"
    run rollback 2
    cat d/b
    run export 2 -o "$HERE/tmp/x.tar"
    say "and is lost no more once it is there again"
    printf 'three\n' >d/b
    run verify --repair
    run cat 2:d/b
    printf 'four\n' >d/b
}

look_at_history() {
    run log
    run op log
    run cat 2:d/b
    ls "$store"
}

damaged "printf X | dd of=layers/1/tree/a conv=notrunc status=none; touch -d 2020-01-01 layers/1/tree/a"
damaged "printf X | dd of=layers/2/tree/d/b conv=notrunc status=none; touch -d 2020-01-01 layers/2/tree/d/b" look_at_lost
damaged "rm -r layers/1/tree/d/e; touch -d 2020-01-01 layers/1/tree/d"
damaged "chmod 600 layers/1/tree/a"
damaged "echo >layers/2/tree/d/new; touch -d 2020-01-01 layers/2/tree/d"
damaged "rm layers/1/tree/l; mkdir layers/1/tree/l; touch -d 2020-01-01 layers/1/tree"
damaged "mkdir -p layers/x held/77 other"
damaged "rm layers/1/manifest"
damaged "rm -r layers/3"
damaged "rm store.db*" look_at_history
damaged "head -c 20000 /dev/zero >store.db; rm -f store.db-wal"
damaged "rm layers/2/facts"
damaged "rm store.db* layers/2/manifest" look_at_history
run verify --repair 1
json verify --repair
