# rollback: back, and back again.
make_project
snapctl -q take -n good
echo two >>a.txt
rm link
mkdir new
echo x >new/x
run rollback --dry-run
json rollback --dry-run
run status
run rollback
run status
run rollback
run undo
cat a.txt new/x
run status
run redo
run status
run op log
run log
run log --all
json undo
json redo
json op log
run rollback nope
run rollback a.txt
run rollback 1 2
