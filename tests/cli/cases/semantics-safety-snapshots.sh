# What a command overwrites is a snapshot first: numbered, automatic, only in log --all, never latest.
make_project
snapctl -q take
echo 'only copy' >a.txt
rm link
echo new >new
run rollback
run log
run log -a
json log --all -n 1
say "it is a snapshot like any other"
run cat 2:a.txt
run ls 2
run show 2
run diff 2
run rollback 2 -- a.txt
cat a.txt
run tag 2 kept
run log
run log --all
say "one that holds the present is enough"
snapctl -q take
run rollback 1
run log --all -n 2
say "a forced restore keeps what it replaces, and undo brings it back"
echo mine >dest
run restore --overwrite 1:a.txt dest
run undo
cat dest
