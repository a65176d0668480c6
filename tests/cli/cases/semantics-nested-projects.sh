# One project inside another: commands act on the innermost; the outer one captures the inner's files as ordinary files.
mkdir -p inner/sub other
echo outer >top
echo 1 >inner/file
echo 1 >inner/sub/deep
run take
run init inner
run -C inner take -n 'inner-one'
say "each sees its own"
run -C inner/sub status
run -C inner/sub log
run log
echo 2 >inner/file
run -C inner status
run -C other status
run status -v
say "the outer one takes and goes back over the inner one's files"
run take
run ls -R latest
run rollback 1
cat inner/file
run -C inner status
run -C inner log
echo 3 >inner/file
run -C inner rollback
run status --porcelain
say "two stores, and none of them in a project"
find . -name '*.db' -o -name '.snapctl*'
find "$XDG_STATE_HOME/snapctl" -name store.db | wc -l
