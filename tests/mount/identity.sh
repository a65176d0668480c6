#!/bin/bash
# Identity in mounts: random work with a model of who is who, over other mounts and killed servers.
# The same seeds each time; SEEDS=N tries N others, STEPS=N longer ones, ONLY=overlay or workspace.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: identity.sh SNAPCTL_OVERLAY SNAPCTL IDENTITY HANDLES
# shellcheck disable=SC2016,SC2119
set -u
SNAPCTL=$(realpath -e "$2") || exit 2
IDENTITY=$(realpath -e "$3") || exit 2
DECODER=$(realpath -e "$4") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "mounting takes root"
choose_seeds 1 2
steps=${STEPS-600}
export HANDLES=1 SNAPCTL

# small trees that share names, with hard links within and across directories, symlinks, a fifo
fill() {
    local dir
    mkdir -p "$1"/{a,b}{0,1,2}/{a,c}{0,1}
    for dir in "$1"/a0 "$1"/a1/c0 "$1"/b2/a1 "$1"; do
        for file in d0 d1 e0 e1; do echo "$2 $dir/$file" >"$dir/$file"; done
        ln -s "$dir" "$dir/f0"
    done
    ln "$1/a0/d0" "$1/a1/f1"
    ln "$1/a0/d0" "$1/f2"
    ln "$1/e0" "$1/e2"
    ln "$1/a0/f0" "$1/b0/f0"
    mkfifo "$1/a2/d2"
    head -c 100000 /dev/zero | tr '\0' x >"$1/b0/d0"
}

cat >kill-overlay <<'TEXT'
daemon=$(pgrep -n -f "^$OVERLAY .*merged") && kill -KILL "$daemon" && flock upper true && umount merged && ./serve
TEXT
for seed in "${seeds[@]}"; do
    [ "${ONLY-overlay}" = overlay ] || break
    for kind in one several elsewhere; do
        layers
        mkdir second third
        fill lower one
        case $kind in
        one) dirs=lower ;;
        several) dirs=lower:second:third && fill second two && rm -r second/a2 && fill third three && rm -r second/b1 && mknod second/b1 c 0 0 ;;
        elsewhere) dirs=lower && mount -t tmpfs tmpfs third && cp -a lower third/ && dirs=third/lower:lower ;;
        esac
        printf '#!/bin/sh\nexec "$OVERLAY" -o lowerdir=%s,upperdir=upper,workdir=work merged\n' "$dirs" >serve
        chmod +x serve
        ./serve
        check "an overlay of $kind, seed $seed" \
            env REMOUNT="umount merged && flock upper true && ./serve" KILL="sh ./kill-overlay" "$IDENTITY" merged "$seed" "$steps"
        unserve
        ! mountpoint -q third || umount third
        rm -rf second third
    done
done

# a workspace of a snapshot, and one that follows its project
export SNAPCTL_STORE=$scratch/store XDG_STATE_HOME=$scratch/state
cat >kill-workspace <<'TEXT'
daemon=$(pgrep -n -f "^$SNAPCTL .*try") && kill -KILL "$daemon" && while kill -0 "$daemon" 2>/dev/null; do :; done
umount space && "$SNAPCTL" -q -C project mount try "$PWD/space"
TEXT
for seed in "${seeds[@]}"; do
    [ "${ONLY-workspace}" = workspace ] || break
    for kind in --from=1 --follow; do
        take='"$SNAPCTL" -q -C space take'
        [ $kind = --from=1 ] || take=true          # what follows has no snapshots of its own
        mkdir project space
        fill project one
        check "take" "$SNAPCTL" -q -C project take
        check "a workspace" "$SNAPCTL" -q -C project workspace add "$kind" try "$scratch/space"
        check "a workspace $kind, seed $seed" \
            env REMOUNT='"$SNAPCTL" -q umount space && "$SNAPCTL" -q -C project mount try "$PWD/space"' KILL="sh ./kill-workspace" \
            TAKE="$take" \
            "$IDENTITY" space "$seed" "$steps"
        "$SNAPCTL" -q umount space
        rm -rf project space store state
    done
done

# a view: all handles, over an emptied cache and another mount; nothing is written because one is taken
[ "${ONLY-view}" = view ] || finish
mkdir project view
fill project one
"$SNAPCTL" -q -C project take
"$SNAPCTL" -q -C project mount 1 "$scratch/view"
check "handles of a view are taken" "$DECODER" take view taken
echo 2 >/proc/sys/vm/drop_caches
check "and open what they were taken of" "$DECODER" open view taken
same "numbers are unique" "" "$(find view -type f -links 1 -printf '%i\n' | sort | uniq -d)"
same "links have one number" 1 "$(stat -c %i view/a0/d0 view/a1/f1 view/f2 | sort -u | wc -l)"
find view -printf '%i %n %P\n' | sort >before
"$SNAPCTL" -q umount view
"$SNAPCTL" -q -C project mount 1 "$scratch/view"
check "and after another mount" "$DECODER" open view taken
same "numbers and links stay" "" "$(find view -printf '%i %n %P\n' | sort | diff before -)"
"$SNAPCTL" -q umount view
finish
