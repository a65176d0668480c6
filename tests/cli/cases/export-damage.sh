# What is damaged is exported by nobody as if it were not.
printf 'one\ntwo\n' >text
printf 'three\n' >other
snapctl -q init --store "$HERE/store"
snapctl -q take
run export 1 -o "$HERE/tmp/x.tar"
printf 'X' | dd of="$HERE/store/layers/1/tree/text" conv=notrunc status=none
run export 1 -o "$HERE/tmp/y.tar"
run export 1 -o "$HERE/tmp/x.tar" --overwrite
json export 1 -o "$HERE/tmp/y.tar"
say "the old one is still whole"
tar -xf "$HERE/tmp/x.tar" -O text
ls -A "$HERE/tmp"
say "nor what is missing"
rm "$HERE/store/layers/1/tree/text"
run export 1 -o "$HERE/tmp/y.tar"
ls -A "$HERE/tmp"
