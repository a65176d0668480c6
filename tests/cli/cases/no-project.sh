# Without a project: exit code 10.
code status
run log
json log
code diff
code rollback
code undo
code op log
code show 1
run -C "$HERE/missing" status
run --store "$HERE/missing" status
SNAPCTL_STORE=$HERE/missing code status
