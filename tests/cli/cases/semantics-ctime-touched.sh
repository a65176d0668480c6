# Something touches every ctime (a backup, another tool): that costs a comparison, and is never a change.
make_project
ln a.txt hard
mkfifo pipe
snapctl -q take
touched() {
    chmod u+x a.txt src/main.c src pipe && chmod u-x a.txt src/main.c pipe
    chmod u+x src
    chown -h "$(id -u):$(id -g)" a.txt src src/main.c link pipe .
}
before=$(stat -c '%n %Y %Z' a.txt src/main.c)
while [ "$(stat -c '%n %Y %Z' a.txt src/main.c)" = "$before" ]; do touched; done
run status
run take --if-changed
run diff
run rollback --dry-run
say "the same content written anew, under the same times: no change either"
cp -p a.txt "$HERE/copy" && cat "$HERE/copy" >a.txt && touch -r "$HERE/copy" a.txt
run status
run take --if-changed
say "another inode with the same size and time: content decides"
cp -p src/main.c "$HERE/new" && cp -rp src "$HERE/src" && mv "$HERE/new" src/main.c && touch -r "$HERE/src" src
run status
sed 's/return 0/return 1/' src/main.c >"$HERE/new" && touch -r src/main.c "$HERE/new" && mv "$HERE/new" src/main.c && touch -r "$HERE/src" src
run status
run take
