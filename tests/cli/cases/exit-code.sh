# --exit-code is 1 where something differs, in every form, and 0 where nothing does.
make_project
snapctl -q take
for form in '' --name-status -p --patch --stat --porcelain -z --json --no-renames --times; do
    # shellcheck disable=SC2086
    code diff --exit-code $form
done
echo two >>a.txt
for form in '' --name-status -p --patch --stat --porcelain -z --json --no-renames --times; do
    # shellcheck disable=SC2086
    code diff --exit-code $form
done
for form in --porcelain -z --json -q; do
    code status --exit-code $form
    code status $form
done
code diff --exit-code -- src
code diff --exit-code -- a.txt
code diff --exit-code 1 1
code diff --exit-code 1 2
code diff -p --stat
say "times alone differ only where they are asked for"
snapctl -q rollback
touch -d '2001-02-03 04:05:06 UTC' a.txt
code diff --exit-code
code diff --exit-code --times
code status --exit-code
