# Mistakes, each with what to do instead, as text and as JSON.
make_project
run rollback
run init
run rollback
json rollback
run restore 1:a.txt x
run tag latest x
run op log
run op log extra
snapctl -q take
say "options where they do not belong, or with what they do not take"
run --if-changed take
run take --if-changed=yes
run take -x
run take --no-syn
run status -z=1
run diff -q --stat --patch
run diff --name-status -p
run log -n 0
run log -n
run log -n -1
run log --since=yesterday -n 1
run doctor --json --color
say "operands"
run show 1 1
run cat
run cat 1:a.txt 1:a.txt
run ls 1 1
run restore
run tag 1 a b
run undo 1 2
run redo 1
run help a b
say "numbers"
for number in 0 -1 01 1x 99999999999999999999 latest~99999999999999999999 latest~ latest~-1 latest~x '' ~1 1~1; do
    run show -- "$number"
done
json show 99999999999999999999
run undo 0
run undo -- -1
run undo 99999999999999999999
say "paths"
run cat 1:../a.txt
run cat 1:/a.txt
run cat 1:./src/./main.c
run cat 1:src/../a.txt
run ls 1:a.txt/below
run log ''
run diff -- ''
run rollback -- ''
run log /elsewhere
run diff --exit-code -- "$HERE/project/a.txt"
run restore 1:a.txt /
run restore 1:a.txt ..
run restore 1:a.txt ''
run restore --overwrite 1:a.txt .
run restore 1 "$HERE/all"
ls -A "$HERE/all"
say "projects and stores"
run init /
json init /
run init --adopt
run init --adopt "$HERE/home"
run --store "$HERE/other" init
mkdir "$HERE/elsewhere"
run -C "$HERE/elsewhere" --store "$(echo "$XDG_STATE_HOME"/snapctl/project-*)" log
run --store "$HERE/project" init
run --store "$HERE/project/store" log
run -C a.txt log
