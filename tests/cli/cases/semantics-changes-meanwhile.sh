# git checkout runs during take and rollback: each file is of one version; what cannot go on is a conflict, never overwritten.
# The exact points are forced in tests/unit/test_transition.c (a_file_that_changes_right_before_its_swap_stops_everything)
# and tests/unit/test_take.c (what_changes_meanwhile_is_captured_again); here both really run at once.
command -v git >/dev/null || skip "there is no git(1)"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git_quietly() {
    git -c user.name=n -c user.email=e@example.org "$@" >/dev/null 2>&1
}
files=40
content() {
    for _ in $(seq 2000); do echo "$1"; done
}
git_quietly init -b A
for i in $(seq $files); do content A >"f$i"; done
git_quietly add . && git_quietly commit -m A && git_quietly checkout -b B
for i in $(seq $files); do content B >"f$i"; done
git_quietly commit -am B
snapctl -q take -n b
git_quietly checkout A
snapctl -q take -n a
while [ ! -e "$HERE/stop" ]; do
    git_quietly checkout -f B
    git_quietly checkout -f A
done &
other=$!
for i in 1 2 3 4 5 6; do
    "$SNAPCTL" -q take >>"$HERE/said" 2>&1
    code=$?
    [ $code -eq 0 ] || [ $code -eq 3 ] || echo "take: exit $code"
done
for i in 1 2 3 4 5 6; do
    "$SNAPCTL" -q rollback b >>"$HERE/said" 2>&1
    code=$?
    [ $code -eq 0 ] || [ $code -eq 2 ] || [ $code -eq 3 ] || [ $code -eq 4 ] || echo "rollback: exit $code"
done
touch "$HERE/stop"
wait $other
mixed=0
for n in $(snapctl log -a | sed 's/ .*//'); do
    for i in $(seq 1 13 $files); do
        snapctl cat "$n:f$i" 2>/dev/null >"$HERE/file" || continue
        case $(sort -u "$HERE/file" | tr -d '\n')$(wc -l <"$HERE/file") in
        A2000 | B2000 | 0) ;;
        *) mixed=$((mixed + 1)) && echo "snapshot $n: f$i is a mixture" ;;
        esac
    done
done
echo "$mixed mixtures"
say "and when it is quiet, a rollback makes the project equal"
snapctl -q rollback b || echo "exit $?"
run diff --exit-code b
git_quietly diff --quiet B -- && echo 'git agrees'
