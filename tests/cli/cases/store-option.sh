# --store and SNAPCTL_STORE; the command that undoes repeats what is needed.
make_project
run --store "$HERE/my store" take
echo two >a.txt
run -C "$HERE/project" --store "$HERE/my store" rollback
SNAPCTL_STORE="$HERE/my store" run log
