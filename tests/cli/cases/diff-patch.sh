# Patches apply; what a patch cannot hold is a line that is skipped.
make_project
printf '\0binary' >data.bin
snapctl -q take
echo two >>a.txt
printf '\0other' >data.bin
mv src/main.c src/moved.c
chmod 755 src/moved.c
rm link
ln -s src link
mkdir empty
printf 'no newline' >end
run diff -p
run diff --stat
run --color always diff -p -- a.txt
json diff -p -- a.txt data.bin
json diff --stat -- a.txt
run diff -p --stat
run diff --name-status --patch
