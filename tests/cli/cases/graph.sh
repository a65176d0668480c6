# log --graph draws which snapshot stands on which.
echo 1 >f
snapctl -q take
echo 2 >f
snapctl -q take
echo 3 >f
snapctl -q take
snapctl -q rollback 1
echo 4 >f
snapctl -q take -m branch
run log --graph
run log --graph --all
run log --graph -n 2
say "three children of one, and a branch of a branch"
snapctl -q rollback 1
echo 5 >f
snapctl -q take
snapctl -q rollback 2
echo 6 >f
snapctl -q take
snapctl -q rollback 4
echo 7 >f
snapctl -q take
run log --graph
run log --graph --all
