# tag: names.
echo 1 >f
snapctl -q take
echo 2 >f
snapctl -q take
run tag 1 one
run tag 1 uno
run tag 2 uno
run tag uno uno
json tag latest two
run tag 1 5
run tag 1 latest
run tag 1 ''
run tag 7 seven
run tag 1
run -q tag 1 one
run log
