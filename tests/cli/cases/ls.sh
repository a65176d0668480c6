# ls and cat: looking into a snapshot.
make_project
mkfifo pipe
mkdir -p src/deep/deeper
echo x >src/deep/deeper/x
ln a.txt hard
find . -exec touch -h -d '2001-02-03 04:05:06 UTC' {} +
chmod 4755 src/deep/deeper/x
snapctl -q take
run ls 1
run ls -R 1
run ls -l 1
run ls -lR 1:src
run ls 1:a.txt
run ls 1:src/
run --color always ls 1
json ls 1
run ls 1:nope
run ls
run ls 2
run cat 1:a.txt
run cat 1:src/deep/deeper/x
run cat 1:link
run cat 1:src
run cat 1:nope
json cat 1:nope
run cat 1
