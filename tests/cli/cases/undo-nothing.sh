# Nothing to undo or redo.
make_project
snapctl -q init
run undo
run redo
snapctl -q take
run undo
json undo
run op log
run op
run op nope
