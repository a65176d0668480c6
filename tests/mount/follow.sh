#!/bin/bash
# Lower directories that change while they are mounted. Case by case (follow_table.c); then programs work in the mount while others work below it, both at random: no error
# that a native directory could not have given, and in the end the tree is what a new mount of the same directories shows.
# The same seeds each time; SEEDS=N tries N others, STEPS=N longer ones.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: follow.sh SNAPCTL_OVERLAY RANDOM_NAMES FOLLOW_TABLE
# shellcheck disable=SC2119
set -u
NAMES=$(realpath -e "$2") || exit 2
TABLE=$(realpath -e "$3") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "mounting takes root"
if [ -n "${SEEDS-}" ]; then
    mapfile -t seeds < <(shuf -i 1-1000000 -n "$SEEDS")
else
    seeds=(1 2 3)
fi
steps=${STEPS-2000}
barrier() { getfattr --only-values -n user.snapctl.sync merged 2>&1; }

layers
serve follow || exit 1
check "each change in each state" "$TABLE" lower merged
unserve

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
