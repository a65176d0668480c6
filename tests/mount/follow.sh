#!/bin/bash
# Lower directories that change while they are mounted. Case by case (follow_table.c); then programs work in the mount while others work below it, both at random: no error
# that a native directory could not have given, and in the end the tree is what a new mount of the same directories shows.
# The same seeds each time; SEEDS=N tries N others, STEPS=N longer ones, SECONDS_OF_REPLACING=N replaces longer.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: follow.sh SNAPCTL_OVERLAY RANDOM_NAMES FOLLOW_TABLE FOLLOW_ERRORS FOLLOW_LATENCY
# shellcheck disable=SC2005,SC2046,SC2086,SC2116,SC2119,SC2317
set -u
NAMES=$(realpath -e "$2") || exit 2
TABLE=$(realpath -e "$3") || exit 2
ERRORS=$(realpath -e "$4") || exit 2
LATENCY=$(realpath -e "$5") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts
choose_seeds 1 2 3
steps=${STEPS-2000}
quietly() { "$@" >out 2>&1 || ! cat out; }
barrier() { getfattr --only-values -n user.snapctl.sync merged 2>&1; }

layers
serve follow || exit 1
check "each change in each state" quietly "$TABLE" lower merged
check "each kind of change, again and again" quietly "$LATENCY" lower merged 100
check "names that are replaced all the time, for ${SECONDS_OF_REPLACING-3} seconds" quietly "$ERRORS" lower merged "${SECONDS_OF_REPLACING-3}"
unserve

# What git and editors do, with everything kept before.
switch() {
    local i
    find merged -type f -exec cat {} + >/dev/null
    for i in 1 2 3 4 5 6 7 8; do
        git -C lower checkout -q "$1" || return 1
        barrier >/dev/null
        diff -r --no-dereference lower merged || return 1
        git -C lower checkout -q "$2" || return 1
        sed -i "s/x/$i/" lower/a1 lower/dir/c
        barrier >/dev/null
        diff -r --no-dereference lower merged || return 1
        git -C lower checkout -q -- .
    done
}
make_branches() {
    git init -q lower && cd lower || return 1
    mkdir dir away
    for i in a b c d e; do
        echo "$i x" | tee "$i"1 dir/"$i" away/"$i" >/dev/null
    done
    git add . && git commit -qm one && git branch one && git checkout -qb two || return 1
    rm -r away && mv dir/a dir/moved && mkdir a1.d new && echo y | tee new/x dir/b c1 >/dev/null && rm d1 && ln -s c1 d1 && rm e1 && mkdir e1 && echo z >e1/x
    git add -A . && git commit -qm two
}
if command -v git >/dev/null; then
    layers
    export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x GIT_CONFIG_GLOBAL=/dev/null
    check "two branches" quietly bash -c "$(declare -f make_branches); make_branches"
    serve follow
    check "git goes from one branch to another" quietly switch one two
    unserve
else
    skip "there is no git"
fi

# More than a queue holds while nobody reads it: everything is asked for again, once.
layers
serve follow || exit 1
mkdir lower/many lower/many/dir
echo old | tee lower/many/{changed,gone,moved,dir/x} >/dev/null
barrier >/dev/null
cat merged/many/{changed,gone,moved,dir/x} >/dev/null
ls merged/many/absent 2>/dev/null
exec 3<merged/many/changed 4<merged/many/gone
daemon=$(pgrep -n -f "^$OVERLAY .*merged")
kill -STOP "$daemon"
{ seq 18000 | sed 's:^:lower/many/:' | xargs touch; } 3<&- 4<&-
echo new >lower/many/changed
echo new >lower/many/absent
{
    rm lower/many/gone
    mv lower/many/moved lower/many/there
    mv lower/many/dir lower/many/dir2
} 3<&- 4<&-
kill -CONT "$daemon"
check "it is said that events were lost" grep -q ' lost=[1-9]' <(barrier)
same "what changed" "new new old old" "$(echo $(cat merged/many/{changed,absent,there,dir2/x}))"
same "what went" "" "$(cd merged/many && ls -d gone moved dir 2>/dev/null)"
same "what is open" "new old" "$(echo $(cat <&3; cat <&4))"
check "all names are listed" cmp <(cd lower && ls -R many) <(cd merged && ls -R many)
exec 3<&- 4<&-
echo newer >lower/many/changed
barrier >/dev/null
same "it goes on" newer "$(cat merged/many/changed)"
unserve

# Fewer watches than directories: what is not watched is asked for each time.
few_watches() {
    echo 10 >/proc/sys/user/max_inotify_watches || return 77
    serve follow || return 1
    echo "serving"
    find merged -type f -exec cat {} + >/dev/null
    barrier
    echo
    "$TABLE" lower merged
    local result=$?
    umount merged
    return $result
}
layers
mkdir -p lower/{a,b,c,d}/{e,f,g,h}
for dir in lower/?/?; do echo x >"$dir/file"; done
export TABLE
export -f few_watches serve barrier
if unshare -Urm true 2>/dev/null && unshare -Urm bash -c few_watches >few 2>&1; then
    check "directories stay uncovered, and it is said how many" grep -q '^watches=[0-9]* uncovered=[1-9]' few
    passed=$((passed + 1))
elif grep -q serving few; then
    check "each change in each state, with too few watches: $(grep -m 1 failed few)" false
else
    skip "no user namespace with a limit of watches"
fi
released

for seed in "${seeds[@]}"; do
    layers
    for a in a b c d; do
        mkdir -p lower/"$a"/{a,b,c}/{d,e}
        for dir in lower/"$a" lower/"$a"/a lower/"$a"/b/d; do
            echo f >"$dir/f"
            echo g >"$dir/g"
        done
    done
    serve follow || exit 1
    "$NAMES" lower "$seed" "$steps" 1 &
    below=$!
    check "above, seed $seed" timeout 120 "$NAMES" merged $((seed + 1)) "$steps" 3
    check "below, seed $seed" wait "$below"
    check "a barrier" grep -q '^watches=[0-9]* uncovered=0 lost=0 ' <(barrier)
    find merged -printf '%P %y %m %s %n %l\n' | grep -v ' d ' | sort >before
    (cd merged && find . -type f -exec md5sum {} + | sort) >bytes-before
    unserve
    serve follow
    find merged -printf '%P %y %m %s %n %l\n' | grep -v ' d ' | sort >after
    (cd merged && find . -type f -exec md5sum {} + | sort) >bytes-after
    check "what a new mount shows, seed $seed" cmp before after
    check "its bytes, seed $seed" cmp bytes-before bytes-after
    unserve
done
finish
