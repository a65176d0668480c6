# On a terminal: colour and a pager; NO_COLOR and an empty pager are honoured.
make_project
snapctl -q take
echo two >>a.txt
terminal status
NO_COLOR=1 terminal status
terminal --color never status
export PAGER="sed 's/^/paged: /'"
terminal diff
terminal status
SNAPCTL_PAGER="sed 's/^/mine: /'" terminal log
PAGER='' terminal diff
PAGER='cat' terminal diff
say "a pager that leaves early is no failure"
PAGER=true terminal help
say "no pager into a pipe"
run diff
say "errors come after the pager"
terminal ls 1:nope
