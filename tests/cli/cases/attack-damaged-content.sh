# Stored bytes that are not what was stored are shown and restored by nobody as if they were.
printf 'one\ntwo\n' >text
printf 'three\n' >other
snapctl -q init --store "$HERE/store"
snapctl -q take
echo changed >text
snapctl -q take
printf 'X' | dd of="$HERE/store/layers/1/tree/text" conv=notrunc status=none
run cat 1:text
run cat 1:other
run diff -p 1 2
run diff --stat 1
run restore 1:text "$HERE/tmp/text"
ls "$HERE/tmp"
say "what is in the project stays"
code rollback 1
cat text
rm text
code rollback 1
ls
