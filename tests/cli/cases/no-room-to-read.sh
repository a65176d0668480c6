# Where there is no room even for what SQLite wants to write in order to read, reading works, and writing says what is missing.
make_project
snapctl -q init --store "$HERE/store"
snapctl -q take
echo two >a.txt
# what is said goes through a pipe, for which no limit holds
cramped() { (trap '' XFSZ && ulimit -f 1 && "$@") 2>&1 | cat; }
say "as if no file may become larger than 1 KiB"
cramped run status
cramped run log
cramped run cat 1:a.txt
cramped run ls 1
cramped run diff -p
cramped run show 1
cramped run take
cramped run tag 1 one
say "with room it goes on"
run take
run log
