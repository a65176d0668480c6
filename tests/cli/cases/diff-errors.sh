# A path where a snapshot is meant, and other mistakes.
make_project
snapctl -q take -n good
run diff a.txt
run -C src diff main.c
run diff good a.txt
run diff goood
json diff goood
run diff 7
run diff 1 1 1
run diff --porcelain -p
run diff -- ../outside
run diff -- nothing-there
