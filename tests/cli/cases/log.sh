# log: which snapshots, in which form.
make_project
snapctl -q take -n first -m 'the beginning'
echo two >>a.txt
snapctl -q take -m "$(printf 'two lines\nof message')"
echo x >src/x
snapctl -q take
run log
run -v log
run log -n 1
run log -n2
run log a.txt
run log src
run -C src log x
run log nothing-there
run log --since '1 hour ago'
run log --until '1 hour ago'
run log --since '1 hour ago' --until @9999999999
json log -n 2
run --color always log -n 1
run -q log -n 1
run log --since never
run log -n x
run log a b
run log --until @0
