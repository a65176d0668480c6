# apply --merge: what both changed in a text is merged by lines; what cannot be is a conflict, and nothing is written.
need_fuse
seq 20 >text
seq 20 >clash
seq 20 >modes
seq 20 >large
head -c 2000000 /dev/zero | tr '\0' 'x' >>large
printf 'a\0b\n' >binary
echo base >linked
ln linked other
mkdir dir
seq 20 >dir/moved
snapctl -q take -n base
mkdir "$HERE/try"
snapctl -q workspace add --from base try "$HERE/try"
cd "$HERE/try" || exit
sed -i 's/^3$/theirs/' text clash modes large dir/moved
chmod 600 text modes
printf 'a\0c\n' >binary
echo theirs >>linked
mv dir away
cd "$HERE/project" || exit
sed -i 's/^18$/ours/' text modes large dir/moved
sed -i 's/^3$/ours/' clash
chmod 640 modes
printf 'a\0d\n' >binary
sed -i 1iours linked
before=$(find . -type f -exec md5sum {} + | sort)
run apply try
run apply --merge try
run apply --merge --dry-run try
[ "$before" = "$(find . -type f -exec md5sum {} + | sort)" ] && echo "nothing was written"

say what can be
run apply --merge --dry-run try -- text dir away
json apply --merge try -- text dir away
stat -c '%a %n' text
sed -n '3p;18p' text away/moved
ls
run undo
sed -n '3p;18p' text dir/moved

say and the rest by one side
run apply --merge --theirs try
sed -n '3p;18p' text away/moved clash
run undo
run apply --merge --ours try
sed -n '3p;18p' text away/moved clash
run status
