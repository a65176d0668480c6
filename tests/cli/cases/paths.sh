# Names of any bytes: shown escaped, quoted as git does, lossless in JSON.
run -q take
touch -- "$(printf 'tab\there')" "$(printf 'new\nline')" 'quo"te' 'back\slash' 'sp ace' ünïcode "$(printf 'bad\377byte')" '-dash' ' lead'
run status
run status --porcelain
json status
snapctl status -z | tr '\0' '|'
echo
run take -q
run ls latest
json ls latest
run cat 'latest:sp ace'
run log -- -dash
