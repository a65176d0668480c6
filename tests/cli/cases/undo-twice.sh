# What is undone already, was redone, or was changed by somebody in between: each said.
make_project
snapctl -q take
echo two >a.txt
snapctl -q rollback
run undo 3
run undo 3
json undo 3
run redo
run redo
say "a name"
run tag 1 one
run tag 1 uno
run undo
run log
run redo
say "given another one since"
snapctl -q tag 1 eins
run undo 7
json undo 7
run undo 7 --force
run log
say "a restored file that was changed since"
snapctl -q restore 1:src copy
echo more >>copy/main.c
echo new >copy/new
run undo
json undo
cat copy/main.c copy/new
run undo --force
ls
run redo
ls copy
say "and one that is gone"
rm -r copy
run undo
