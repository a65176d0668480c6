# init registers, once; take does it too. A project inside another one is its own.
run init
run init
mkdir inner
run init inner
run -C inner init
json init
mkdir "$HERE/other"
run init --store "$HERE/chosen.store" "$HERE/other"
json -C "$HERE/other" status
run -q init "$HERE/other"
say "in \$HOME and /"
run init "$HOME"
run -C "$HOME" take
run init --force "$HOME"
run init "$HERE/missing"
run init a b
