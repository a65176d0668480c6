# Names and messages of any bytes; what is not known to be on disk.
make_project
run take --no-sync -m "$(printf 'bad \377 byte \033[31mred')" -n 'näme with space'
run log
run log -v
run show 'näme with space'
json show 1
run cat 'näme with space:a.txt'
run diff 'näme with space'
run take -n "$(printf 'bad\377')"
run take -n "$(printf 'new\nline')"
run take -n 12
run take -n latest
run take -n -dash
run take -n "$(printf '%0300d' 0)x"
run take -m ''
run log -n 1
