# What .snapctlignore leaves out is seen in a workspace, and taken from none: the workspace's own rules hold.
need_fuse
make_project
mkdir -p build/old
echo o >build/old/file
snapctl -q take -n base
mkdir "$HERE/try"
snapctl -q workspace add --from base try "$HERE/try"
cd "$HERE/try" || exit
printf 'build/\n*.o\n' >.snapctlignore
mkdir -p build/new lib/deep
echo n >build/new/file
rm build/old/file
echo a >lib/a.o
echo a >lib/a.c
echo b >lib/deep/b.o
run status
run take -n one
run ls -R one
run take --if-changed
run verify
say "neither a rollback nor an undo touches it"
echo two >lib/a.c
echo two >lib/a.o
rm -r build/new
run rollback one
cat lib/a.c lib/a.o
ls build
run undo
cat lib/a.c lib/a.o
say "without the rules it is taken"
rm .snapctlignore
run take -n two
run ls -R two
rm -r build
echo build >.snapctlignore
run take -n three
run ls three
echo x >build
rm .snapctlignore
run take
rm build
echo build/ >.snapctlignore
run take -n four
run ls four
run verify
cd "$HERE/project" || exit
run apply try --dry-run
run umount "$HERE/try"
