# mount and umount: a snapshot as a directory that stays what it is.
need_fuse
make_project
ln a.txt hard
mkdir -p empty deep/er
mkfifo pipe
chmod 4751 src/main.c
head -c 300000 /dev/urandom >deep/er/data
touch -h -d '2001-02-03 04:05:06.789' link src/main.c deep
snapctl -q take -n good
cp -a . "$HERE/copy"
mkdir "$HERE/then"
run mount good "$HERE/then"
rm -rf src hard deep
echo two >a.txt
snapctl -q take
diff -r --no-dereference --exclude=pipe "$HERE/copy" "$HERE/then"
what() {
    (cd "$1" && find . -printf '%p %y %m %u %g %T@ %l\n' | sort; find . ! -type d -printf '%p %n %s\n' | sort)
}
diff <(what "$HERE/copy") <(what "$HERE/then") && echo same
[ "$(stat -c %i "$HERE/then/a.txt")" = "$(stat -c %i "$HERE/then/hard")" ] && echo linked
(cd "$HERE/then" && find . -printf '%i\n' | sort | uniq -d | wc -l)

say nothing can be changed
touch "$HERE/then/new" "$HERE/then/a.txt" 2>&1 | sed "s#$HERE#HERE#"
rm -f "$HERE/then/a.txt" 2>&1 | sed "s#$HERE#HERE#"

say two at a time
mkdir "$HERE/now"
run mount 2 "$HERE/now"
cat "$HERE/now/a.txt" "$HERE/then/a.txt"
run mount
json mount
run umount "$HERE/then"
ls "$HERE/then"
json umount "$HERE/now"
run mount
json mount
json mount good "$HERE/then"
run -q umount "$HERE/then"
run -q mount good "$HERE/then"
run -q mount
cd "$HERE" || exit
run umount then/
