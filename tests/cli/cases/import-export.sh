# import and export: what was exported comes back as the same tree, and is exported as the same bytes.
make_project
printf 'x\n' >"$(printf 'na\344me')"
mkdir -p "deep/$(printf '%0200d' 1)/$(printf '%0200d' 2)"
touch -d @-5.25 deep
chmod 2711 src
ln a.txt src/hard
mkfifo fifo
truncate -s 3M holes && printf end >>holes
setfattr -n user.note -v 'one two' a.txt 2>/dev/null || skip "there are no user xattrs here"
run take
run -q export 1 -o ../first.tar.zst
say into the same project: nothing is stored, nothing differs
json import ../first.tar.zst
run diff 1 2 --times
say into another one
mkdir ../other
run -C ../other import ../first.tar.zst
run -q -C ../other export 2 -o ../second.tar
run -q export 1 -o ../first.tar
cmp ../first.tar ../second.tar && echo "the same bytes"
run -C ../other -q rollback 2
run -C ../other status
run -q -C ../other verify
