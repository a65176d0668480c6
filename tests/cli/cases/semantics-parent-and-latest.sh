# After `rollback 3` and `take` the parent is 3, the number the next one; latest is the highest number that is not automatic.
for i in 1 2 3 4 5; do
    echo $i >f
    snapctl -q take
done
echo 'not taken' >f
run rollback 3
run log --all -n 2
say "compared with the latest, 5, though the project equals 3"
run status --porcelain
run diff --stat
run cat latest:f
run cat latest~1:f
echo branch >f
run take
snapctl --json show latest | grep -o '"number":[0-9]*,\|"parent":[0-9]*,'
run diff 3
run status
say "a later automatic snapshot is not the latest"
echo 'not taken either' >f
snapctl -q rollback 1
run log --all -n 1
run cat latest:f
run show latest~9
