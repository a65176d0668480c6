# What workspace add and remove refuse, and what is left then.
need_fuse
make_project
snapctl -q take -n good
mkdir "$HERE/try" "$HERE/other"
run workspace add
run workspace add good "$HERE/try"
run workspace add 12 "$HERE/try"
run workspace add a/b "$HERE/try"
run workspace add try "$HERE/nowhere"
run workspace add --from nope try "$HERE/try"
run workspace add --from good --follow try "$HERE/try"
code workspace add -o no_such_option try "$HERE/try"
run workspace remove try
run workspace list
run log

say names are shared
run workspace add --from good try "$HERE/try"
run workspace add --from good try "$HERE/other"
run workspace add --from good other "$HERE/try"
run take -n try
run tag good try
run mount try "$HERE/other"
run workspace remove try
run umount "$HERE/try"
snapctl -q workspace remove try
run tag good try
run undo 5
run undo
run undo 5
