# show: one snapshot.
make_project
run take -n good -m "$(printf 'why\nand how')"
echo two >a.txt
run -q take
run show good
run show latest
json show good
json show 2
run show
run show nope
run show latest~1
run show latest~5
