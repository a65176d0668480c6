# What somebody changed since is not overwritten, unless forced; then it was captured first.
make_project
snapctl -q take
echo two >a.txt
snapctl -q rollback
echo mine >a.txt
run undo
cat a.txt
json undo
run undo --force
cat a.txt
run undo
cat a.txt
run undo nonsense
run undo 99
run redo --force
