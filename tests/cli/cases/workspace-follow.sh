# A workspace that follows the project shows what changes there, at once, and keeps what was changed in it.
need_fuse
make_project
mkdir "$HERE/live"
run workspace add --follow live "$HERE/live"
run log
json workspace list
cd "$HERE/live" || exit
project=$HERE/project
cat a.txt
echo changed >"$project/a.txt"
cat a.txt
ls new 2>&1
mkdir "$project/new"
echo x >"$project/new/file"
cat new/file
exec 3<new/file
mv "$project/new" "$project/newer"
ls
cat newer/file
rm -r "$project/newer"
ls newer 2>&1
read -r line <&3
echo "$line"
exec 3<&-
for i in 1 2 3 4 5; do
    echo "$i" >"$project/a.txt"
    [ "$(cat a.txt)" = "$i" ] || echo "stale: $i"
    echo "$i" >"$project/by-rename"
    mv "$project/by-rename" "$project/a.txt"
    [ "$(cat a.txt)" = "$i" ] || echo "stale after rename: $i"
done

say how it hears of that
run status | sed 's/[0-9]* director.* watched/N directories watched/'
json status | sed 's/"watches":[0-9]*/"watches":N/'
getfattr --only-values -n user.snapctl.sync . | sed 's/=[1-9][0-9]*/=N/g'
echo

say what was changed here stays
echo mine >>src/main.c
echo theirs >"$project/src/main.c"
tail -n 1 src/main.c
rm link
ln -s elsewhere "$project/link2"
ls
cat "$project/src/main.c"
rm "$project/src/main.c"
tail -n 1 src/main.c

say the project goes away
cd "$HERE" || exit
pid=$(cd "$project" && served_by "$HERE/live")
rm -rf "$project"
await_end "$pid"
ls live
