#!/bin/bash
# Random work in a mount over files that lie below: data against a copy in memory, names by several processes at once.
# The same seeds each time; SEEDS=N tries N others, STEPS=N longer ones.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: random.sh SNAPCTL_OVERLAY RANDOM_IO RANDOM_NAMES
# shellcheck disable=SC2119
set -u
IO=$(realpath -e "$2") || exit 2
NAMES=$(realpath -e "$3") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_mounts
choose_seeds 1 2 3
steps=${STEPS-3000}
first_bytes() { seq "$1" 100000 | head -c $((100000 + $1 * 777 % 100000)); }

layers
for seed in "${seeds[@]}"; do first_bytes "$seed" >"lower/file$seed"; done
mkdir native
for seed in "${seeds[@]}"; do
    first_bytes "$seed" >"native/file$seed"
    check "data, natively, seed $seed" "$IO" "native/file$seed" "$seed" "$steps"
done
serve || exit 1
for seed in "${seeds[@]}"; do
    check "data, seed $seed" "$IO" "merged/file$seed" "$seed" "$steps"
    check "as natively, seed $seed" cmp "merged/file$seed" "native/file$seed"
    check "and in the layer, seed $seed" cmp "upper/file$seed" "native/file$seed"
done
unserve

names=(a b c d)
for seed in "${seeds[@]}"; do
    layers
    for a in "${names[@]}"; do
        mkdir -p lower/"$a"/{a,b,c}/{d,e}
        for dir in lower/"$a" lower/"$a"/a lower/"$a"/b/d; do
            echo f >"$dir/f"
            echo g >"$dir/g"
        done
    done
    ln lower/a/f lower/b/h
    serve
    check "names, seed $seed" "$NAMES" merged "$seed" "$steps" 4
    find merged -printf '%P %y %m %s %n %l\n' | grep -v ' d ' | sort >before
    unserve
    serve
    find merged -printf '%P %y %m %s %n %l\n' | grep -v ' d ' | sort >after
    check "the same after another mount, seed $seed" cmp before after
    find merged -mindepth 1 -maxdepth 1 -exec rm -rf {} +
    same "all can be removed, seed $seed" "" "$(find merged -mindepth 1)"
    unserve
    same "nothing is left in work, seed $seed" "" "$(find work -mindepth 2)"
done
finish
