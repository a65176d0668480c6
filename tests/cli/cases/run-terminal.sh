# run on a terminal: it asks, and the shell that started it can stop and continue it.
# shellcheck disable=SC2016
need_fuse
need_namespaces
command -v script >/dev/null || skip "there is no script(1) to make a terminal"
make_project
snapctl -q take

# answer TEXT WORD...: on a terminal on which TEXT is typed
answer() {
    local typed=$1 line
    shift
    show_command "$@"
    printf -v line '%q ' "$SNAPCTL" "$@"
    printf '%b' "$typed" | script -qec "stty -echo; $line" /dev/null | tr -d '\r' | grep -vxE 'y|n|d|k|what'
    echo "exit ${PIPESTATUS[1]}"
}
answer 'y\n' run -- sh -c 'echo two >>a.txt; exit 2'
cat a.txt
answer 'n\n' run -- sh -c 'echo three >>a.txt'
cat a.txt
answer 'd\nwhat\nk\n' run -- sh -c 'echo three >>a.txt'
run workspace remove run-1
answer '' run -- sh -c 'echo three >>a.txt'
run workspace remove run-1
answer 'typed\ny\n' run -- sh -c 'read -r line; echo "$line" >>a.txt'
cat a.txt

say stopped and continued
cat >"$HERE/script" <<'TEXT'
set -m
"$SNAPCTL" run --apply no -- sh -c 'kill -TSTP $$; echo went on'
jobs | sed 's/ *"$SNAPCTL".*//'
fg >/dev/null
echo "exit $?"
TEXT
script -qec "bash '$HERE/script'" /dev/null </dev/null | tr -d '\r'
