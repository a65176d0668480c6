# A take is an operation in the log, but a bare undo skips it, however many there were since.
echo 1 >f
snapctl -q take
echo 2 >f
snapctl -q rollback
snapctl -q take -n between
snapctl -q take
run undo
cat f
run op log
say "nor can it be asked to: a take takes nothing away"
run undo 4
json undo 4
run undo 1
say "the snapshots are all still there, and redo goes over the takes too"
snapctl -q take
run log
run redo
cat f
