# rollback of some paths leaves the others alone.
make_project
snapctl -q take
echo two >>a.txt
echo '/* */' >>src/main.c
rm link
run rollback -- a.txt
run status --porcelain
run -C src rollback 1 -- main.c
run status --porcelain
run -v rollback 1 -- link
run status
run rollback -- ../elsewhere
run -q rollback -- a.txt
json rollback -- a.txt
