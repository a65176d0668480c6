# Excluded paths are never captured and never deleted; across a change of the rules, nothing that either version excludes.
printf '%s\n' '*.log' 'build/' '/cache' '!keep.log' >.snapctlignore
mkdir -p build/deep src/build cache
echo 1 >build/deep/x
echo 1 >src/build/y
echo 1 >cache/z
echo 1 >a.log
echo 1 >keep.log
echo 1 >src/a.c
run take
run ls -R 1
run status
run diff -- build
say "a rollback neither brings them back nor removes them"
echo 2 >a.log
echo 2 >src/a.c
rm cache/z
echo 2 >build/new
run rollback
cat a.log build/deep/x build/new src/a.c
ls cache
say "a new directory with something excluded in it goes as far as it can"
mkdir -p made/build
echo 3 >made/build/x
echo 3 >made/file
run rollback
find made | sort
say "the rules change: what only the old ones exclude (a.log), and what only the new ones do (src)"
printf '%s\n' 'src' 'made' >.snapctlignore
run take -n other-rules
run ls other-rules
echo 4 >src/a.c
echo 4 >a.log
echo 4 >keep.log
run rollback 1
tail -n +1 .snapctlignore src/a.c a.log keep.log build/deep/x made/build/x
say "and forth: what only the rules that are left behind exclude stays too"
echo 5 >a.log
run rollback other-rules
tail -n +1 .snapctlignore src/a.c a.log keep.log build/deep/x made/build/x
run status
say "without any rules"
rm .snapctlignore
run status
