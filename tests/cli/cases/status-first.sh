# Before the first snapshot everything is new.
run status
run init
make_project
run status
json status
run log
json log
run show latest
run diff
