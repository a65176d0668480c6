# help, versions, mistakes of usage.
run
json
run --help
run help take
run take --help
run help op log
run help op
run help op nope
run help nope
run help tak
run op --help
run stauts
json stauts
run --jsn status
run -h
snapctl --version | sed 's/[0-9.]\+$/N/'
snapctl --json --version | sed 's/[0-9.]\+"}$/N"}/'
run status -m
run take -m
run -q -v status
run --color=pink status
