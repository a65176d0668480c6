# A single file that is bind-mounted in the project: nothing can be renamed over it; named, and everything else done.
need_root "mount"
make_project
echo 1 >config
run take
echo 2 >a.txt
echo 2 >config
echo new >new
echo 'from outside' >"$HERE/outside"
mount_it --bind "$HERE/outside" config
run status
run rollback
tail -n +1 a.txt config "$HERE/outside"
ls
json rollback
run take
run cat latest:config
say "the file is new: it cannot be removed either"
touch later
mount_it --bind "$HERE/outside" later
run rollback 1
ls
unmount_all
cd "$HERE/project" || exit
say "unmounted"
run rollback 1
cat config
run status
