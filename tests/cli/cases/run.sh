# run: a command in a workspace that is at the project's own path, and what becomes of what it changed.
# shellcheck disable=SC2016,SC2034
need_fuse
need_namespaces
make_project
mkdir -p deep/er
run run
run run --wait --kill true
run run --apply perhaps true
run run --from nope true

say nothing changed
run run -- cat a.txt
cd deep/er || exit
run run -- sh -c 'pwd; ls -A; stat -c "%u %g" . | grep -qx "$(id -u) $(id -g)" && echo "my own"; echo "$SNAPCTL_WORKSPACE"; cat ../../link'
cd ../.. || exit
run workspace list
run log
find "$HERE/tmp" -mindepth 1

say discarded
run run --apply no -- sh -c 'echo two >>a.txt; mkdir new; echo n >new/file; rm link; cat a.txt; exit 3'
cat a.txt
run status
run workspace list
run undo
run workspace list
mkdir "$HERE/again"
run mount run-1 "$HERE/again"
cat "$HERE/again/a.txt"
run umount "$HERE/again"
run workspace remove run-1

say applied
run run --apply yes sh -c 'echo two >>a.txt; mv src moved; echo out; echo err >&2' -x --apply no
cat a.txt
ls
run workspace list
run undo
ls
run -q run --apply yes -- touch quiet
ls quiet
rm quiet
run take

say kept, for nobody can be asked
run run -- sh -c 'echo three >>a.txt'
run workspace list
run apply run-1
run workspace remove run-1
run workspace list
find "$HERE/tmp" -mindepth 1

say of the past
run run --from 1 --apply no -- sh -c 'cat a.txt; echo x >x'

say in conflict
project=$PWD
export HERE project
mkfifo "$HERE/ready" "$HERE/hold"
"$SNAPCTL" run --apply yes -- sh -c 'echo theirs >a.txt; echo >"$HERE/ready"; read -r line <"$HERE/hold"' >"$HERE/stdout" 2>"$HERE/stderr" &
read -r line <"$HERE/ready"
echo ours >a.txt
echo >"$HERE/hold"
wait $!
echo "exit $?"
cat "$HERE/stderr"
cat a.txt
run apply --theirs run-1
cat a.txt
run workspace remove run-1

say that cannot be run
run run -- no-such-command
run run -- ./a.txt
json run -- no-such-command
run workspace list

say in JSON
json run --apply yes -- sh -c 'echo to stdout; echo four >>a.txt; rm link'
json run -- sh -c 'echo five >>a.txt; exit 4'
json run -- true

say what the project leaves out
mkdir build
echo build/ >.snapctlignore
echo old >build/kept
run run --apply yes -- sh -c 'mkdir build; echo new >build/kept; echo made >build/made; echo six >>a.txt'
cat build/* a.txt
run run -- sh -c 'mkdir build; echo new >build/made'
