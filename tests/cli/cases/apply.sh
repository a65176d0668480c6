# apply: what was changed in a workspace, done to the project, as one operation.
# shellcheck disable=SC1010
need_fuse
make_project
mkdir -p src/deep gone/below both
seq 100 >src/deep/numbers
echo g >gone/below/file
echo b >both/old
snapctl -q take -n base
mkdir "$HERE/try"
snapctl -q workspace add --from base try "$HERE/try"
run apply try
run apply --dry-run try
cd "$HERE/try" || exit
echo two >>a.txt
ln -sf elsewhere link
mv src moved
chmod 600 moved/main.c
rm -r gone
mkdir -p new/er
echo n >new/er/file
ln new/er/file new/linked
: >new/empty
mkfifo new/pipe
seq 101 >moved/deep/numbers
echo w >both/workspace

say meanwhile in the project
cd "$HERE/project" || exit
echo p >both/project
echo 'int other;' >src/other.c
mkdir new
echo own >new/own
echo later >later
run apply --dry-run try
ls -A
run apply try
find . -mindepth 1 -printf '%P %y %m %n %l\n' | sort
cat a.txt moved/other.c new/own both/*
tail -n 1 moved/deep/numbers
run status
run apply try
run verify

say undone and done again
run undo
ls -A . src new
run redo
ls -A . moved new
json undo
json apply --dry-run try
run apply try -- a.txt both
run status
run -v apply try -- new/er
json apply try
run log -a
run apply nope
run apply --ours --theirs try
run apply
cd "$HERE/try" || exit
run status
