# rm: removed from the list, back by undo.
echo 1 >f
snapctl -q take -n one
echo 2 >f
snapctl -q take
echo 3 >f
snapctl -q take -n three
run rm
run rm 9
run rm 1 9
run rm one latest
run log
run show 1
run show one
run cat 3:f
run diff 1 2
run rm 1
run status
run undo
run log
run redo
say 'a name that somebody else took meanwhile'
run tag 2 three
run undo
run log
run -q rm 2 2
json rm 1 3
run log
json undo
run status
say 'everything is removed'
run log
run rm 1 2 3
run log
run take
run op log
