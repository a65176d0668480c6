# import: an archive becomes a snapshot beside the project's own, and is gone to like any other.
make_project
run take -n mine
mkdir "$HERE/tree" "$HERE/tree/src"
echo two >"$HERE/tree/a.txt"
echo new >"$HERE/tree/new.txt"
ln "$HERE/tree/new.txt" "$HERE/tree/src/hard"
ln -s new.txt "$HERE/tree/link"
tar --format=pax --sort=name --owner="+$(id -u)" --group="+$(id -g)" --mtime=@1000000000 -cf "$HERE/tree.tar" -C "$HERE/tree" .
run import ../tree.tar -n theirs
run status
run log
run show theirs
run ls -R theirs
run diff mine theirs --name-status
run take --if-changed
run rollback theirs
cat a.txt src/hard
run undo
cat a.txt
run status
json import ../tree.tar -m 'the same again'
json log
say every compression, and a pipe
for how in gzip bzip2 xz zstd lzma lzip; do
    if command -v "$how" >/dev/null; then "$how" -c <"$HERE/tree.tar"; else cat "$HERE/tree.tar"; fi >"$HERE/tree.tar.$how"
    snapctl -q import "../tree.tar.$how" || echo "$how failed"
done
snapctl import - <"$HERE/tree.tar.gzip" | sed 's/ in [0-9.]* s;/ in N s;/'
for snap in latest 4 8 18; do snapctl ls -R $snap | tr '\n' ' '; echo; done
run op log
run -q verify
