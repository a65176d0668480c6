# restore: a past file or tree elsewhere.
make_project
snapctl -q take
echo changed >a.txt
run restore 1:a.txt old.txt
cat old.txt
run restore 1:a.txt old.txt
echo mine >old.txt
run restore --overwrite 1:a.txt old.txt
cat old.txt
run undo
cat old.txt
run restore 1:src "$HERE/elsewhere"
ls "$HERE/elsewhere"
json restore 1:src src2
run -q restore 1:link link2
readlink link2
run restore 1:nope x
run restore 1:a.txt
run restore 1:a.txt nodir/x
