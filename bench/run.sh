#!/bin/bash
# Measures snapctl against cp, git, restic, borg and tar on a real tree, on fresh file systems of each kind, in one run.
# Changes nothing but its own images, loop mounts and temporary directory, which are gone afterwards; takes root.
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

usage() {
    cat <<TEXT
usage: run.sh [OPTION]...
  --quick             a small tree, one round: to see that it works, not how fast it is
  --fs LIST           of ext4,xfs,btrfs; default all, with --quick ext4
  --no-history        leave out the many snapshots
  --program FILE      the snapctl to measure; default: built into build-bench, optimised
  -o FILE             where the table goes; default: standard output; the published one is bench/RESULTS.md
TEXT
}

entries=76000 rounds=3 runs=15 history=1000 history_files=20000 image_size=24G
kinds=ext4,xfs,btrfs output='' program='' with_history=1 quick='' chosen=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 entries=8000 rounds=1 runs=3 history=60 history_files=2000 image_size=8G ;;
    --fs) chosen=${2:?} && shift ;;
    --no-history) with_history='' ;;
    --program) program=$(realpath "${2:?}") && shift ;;
    -o) output=$(realpath -m "${2:?}") && shift ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ -z "$quick" ] || kinds=ext4
kinds=${chosen:-$kinds}
[ "$(id -u)" = 0 ] || die "mounting file systems takes root"

"$top/scripts/deps.sh" build bench
if [ -z "$program" ]; then
    release_build "$top/build-bench" -Dtests=disabled
    program=$top/build-bench/cli/snapctl
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-bench.XXXXXX")
mounted=''
end_file_system() {
    cd /
    [ -z "$mounted" ] || umount "$mounted" || umount -l "$mounted"
    mounted=''
    rm -f "$work/image"
}
clean() {
    end_file_system
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
mkdir "$work/results" "$work/mount"

# fresh_file_system KIND: made, mounted, with the folders that tools.sh wants
fresh_file_system() {
    local options=()
    end_file_system
    # Without this, ext4 goes on making its tables while it is measured.
    [ "$1" != ext4 ] || options=(-E "lazy_itable_init=0,lazy_journal_init=0")
    truncate -s "$image_size" "$work/image"
    "mkfs.$1" -q "${options[@]}" "$work/image"
    mount -o loop "$work/image" "$work/mount"
    mounted=$work/mount
    mkdir "$mounted/out" "$mounted/used"
    set_places "$mounted"
}

# Everything that a tool keeps lies on the measured file system.
set_places() {
    export tree=$1/tree out=$1/out used=$1/used ten=$work/ten snapctl=$program image=$work/image
    export HOME=$1/out XDG_STATE_HOME=$out/snapctl/state
    export GIT_DIR=$out/git/repository/.git GIT_WORK_TREE=$tree GIT_CONFIG_NOSYSTEM=1
    export RESTIC_REPOSITORY=$out/restic/repository RESTIC_PASSWORD_FILE=$work/password RESTIC_CACHE_DIR=$out/restic/cache
    export BORG_REPO=$out/borg/repository BORG_BASE_DIR=$out/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
    unset SNAPCTL_STORE SNAPCTL_THREADS SNAPCTL_PAGER
}
echo bench >"$work/password"
set -a
# shellcheck source=bench/tools.sh
. "$top/bench/tools.sh"
set +a

# ten_files: spread evenly over the small regular files of the tree
ten_files() {
    (cd "$tree" && find . -type f -links 1 -size -64k | LC_ALL=C sort) >"$work/files"
    awk -v step=$(($(wc -l <"$work/files") / 10)) 'NR % step == 0 && ++n <= 10' "$work/files" >"$work/ten"
}

# measure ROW TOOL RUNS PREPARE COMMAND: seconds of each run, and the peak memory of one; PREPARE may be empty
measure() {
    local row=$1 tool=$2 count=$3 prepare=$4 command=$5 name
    name=$work/results/$kind--$row--$tool--$(date +%s%N)
    local arguments=(-N --style none --runs "$count" --export-json "$name.json")
    [ -z "$prepare" ] || arguments+=(--prepare "bash -c $prepare")
    printf '%-6s %-18s %-16s ' "$kind" "$row" "$tool"
    if [ "${row#first}" != "$row" ] || [ "$row" = import ]; then
        command="/usr/bin/time -o $name.peak -f %M $command"
    else
        [ -z "$prepare" ] || "$prepare"
        # shellcheck disable=SC2086
        /usr/bin/time -o "$name.peak" -f %M $command >/dev/null
        arguments+=(--warmup "$([ "$count" -gt 2 ] && echo 1 || echo 0)")
    fi
    hyperfine "${arguments[@]}" "$command" >"$work/log" 2>&1 || {
        cat "$work/log"
        die "'$command' failed"
    }
    python3 -c 'import json, sys; print(*("%.4f" % t for t in json.load(open(sys.argv[1]))["results"][0]["times"]), "s")' "$name.json"
}

# How often the slow ones are run for a first take.
slow_rounds() {
    if [ "$kind" = ext4 ] && [ "$rounds" -gt 1 ]; then echo 2; else echo 1; fi
}

# One after the other in each round, so that a noisy minute does not fall on one of them alone; each round on a file system of
# its own, and in the other order, for the later ones find it fuller. The slow ones come in the last rounds.
first_takes() {
    local round tool tools
    for ((round = 1; round <= rounds; round++)); do
        fresh_tree
        tools=(snapctl cp reflink)
        [ $((round % 2)) = 1 ] || tools=(reflink cp snapctl)
        [ "$round" -le $((rounds - $(slow_rounds))) ] || tools+=(git restic borg)
        for tool in "${tools[@]}"; do
            [ "$tool" != reflink ] || [ "$kind" != ext4 ] || continue
            measure first-take "$tool" 1 "${tool}_begin" "bash -c ${tool}_take"
        done
    done
}

nothing_changed() {
    git status --short >/dev/null
    measure unchanged-status snapctl "$runs" '' "$program -C $tree status"
    measure unchanged-status git "$runs" '' "git status --short"
    measure unchanged-take snapctl "$runs" '' "$program -C $tree take"
    measure unchanged-take snapctl-no-sync "$runs" '' "$program -C $tree take --no-sync"
    measure unchanged-take git "$runs" '' "git add -A -f ."
    measure unchanged-take restic 2 '' "bash -c restic_take"
    measure unchanged-take borg 2 '' "bash -c borg_take"
}

ten_changed() {
    measure ten-take snapctl "$runs" change_ten "$program -C $tree take"
    measure ten-take snapctl-no-sync "$runs" change_ten "$program -C $tree take --no-sync"
    measure ten-take git "$runs" change_ten "bash -c git_take"
    measure ten-take restic 2 change_ten "bash -c restic_take"
    measure ten-take borg 2 change_ten "bash -c borg_take"
    measure ten-diff snapctl "$runs" '' "$program -C $tree diff latest~1 latest"
    measure ten-diff git "$runs" '' "git diff --name-status HEAD~1 HEAD"
    "$program" -q -C "$tree" take
    git_take
    measure ten-rollback snapctl "$runs" change_ten "$program -C $tree rollback"
    measure ten-rollback git "$runs" change_ten "bash -c git_back"
}

# Reading all that is stored, against digests of the same files by as many processes as verify has threads.
verified() {
    layers=$("$program" -v -C "$tree" log -n 1 2>&1 >/dev/null | sed -n 's/^store: //p')/layers
    export layers
    measure verify snapctl "$runs" '' "$program -C $tree verify"
    measure verify snapctl-quick "$runs" '' "$program -C $tree verify --quick"
    measure verify xxhsum "$runs" '' "bash -c xxhsum_all"
}

xxhsum_all() {
    find "$layers" -type f -size +0 -print0 | xargs -0 -P "$(nproc)" -n 500 xxhsum -q -H128
}
export -f xxhsum_all

git_back() {
    git checkout -q -- . && flush
}
export -f git_back

exports() {
    local tool
    for tool in snapctl tar bsdtar; do
        measure export "$tool" $(((runs + 2) / 3)) export_begin "bash -c ${tool}_export"
    done
}

# An archive of the tree, into a project that never had a snapshot, and unpacked.
imports() {
    local round tool
    tar --format=posix --xattrs -C "$tree" -cf "$mounted/import.tar" .
    for ((round = 1; round <= rounds; round++)); do
        for tool in snapctl tar bsdtar; do
            measure import "$tool" 1 import_begin "bash -c ${tool}_import"
        done
    done
}

# history_to N: snapshots up to number N, ten changes each
made=0
history_to() {
    local i
    for (( ; made < $1; made++)); do
        for ((i = 0; i < 10; i++)); do
            echo "$made" >>"$tree/${files[(made * 10 + i) % ${#files[@]}]}"
        done
        "$program" -q -C "$tree" take --no-sync -n "n$((made + 1))"
    done
    flush
}

# The same questions; `log` asks for a file that changed in the first ten snapshots only.
history_rows() {
    local name=$1 dir=${files[5]%/*}
    measure "$name-diff" snapctl "$runs" '' "$program -C $tree diff latest~1 latest"
    measure "$name-diff-old" snapctl "$runs" '' "$program -C $tree diff n4 n5"
    measure "$name-ls" snapctl "$runs" '' "$program -C $tree ls -l latest:$dir"
    measure "$name-ls-old" snapctl "$runs" '' "$program -C $tree ls -l n5:$dir"
    measure "$name-cat" snapctl "$runs" '' "$program -C $tree cat latest:${files[3]}"
    measure "$name-log" snapctl "$runs" '' "$program -C $tree log ${files[3]}"
    measure "$name-status" snapctl "$runs" '' "$program -C $tree status"
    measure "$name-take" snapctl "$runs" change_ten "$program -C $tree take --no-sync"
    "$program" -q -C "$tree" gc --now
    measure "$name-gc" snapctl "$runs" remove_middle "$program -C $tree gc --now"
    measure "$name-rollback" snapctl "$runs" change_ten "$program -C $tree rollback"
}

# The middle one of those that are still there.
remove_middle() {
    local numbers
    mapfile -t numbers < <("$snapctl" --json -C "$tree" log | sed -n 's/.*"message_type":"snapshot","number":\([0-9]*\).*/\1/p')
    "$snapctl" -q -C "$tree" rm "${numbers[${#numbers[@]} / 2]}"
}
export -f remove_middle

many_snapshots() {
    kind=ext4
    fresh_file_system ext4
    "$top/bench/tree.sh" "$tree" "$history_files" files
    (cd "$tree" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort) >"$work/all"
    mapfile -t files <"$work/all"
    awk 'NR % 97 == 50 && ++n <= 10' "$work/all" >"$work/ten"
    snapctl_begin
    history_to 10
    history_rows few
    history_to "$history"
    history_rows many
}

# What the table says of the machine; no name, no path.
describe() {
    echo "date: $(date -u +%Y-%m-%d)"
    echo "program: $("$program" --version), $(git --git-dir="$top/.git" --work-tree="$top" describe --always --dirty 2>/dev/null || echo unknown)"
    echo "processors: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    echo "memory: $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
    echo "system: $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r | sed 's/[^0-9.].*//')"
    echo "images on: $(findmnt -n -o FSTYPE -T "$work"); load before: $(cut -d ' ' -f 1 /proc/loadavg)"
    echo "others: $(git --version), $(restic version | cut -d ' ' -f 1,2), $(borg --version), $(cp --version | sed 1q), $(hyperfine --version)"
}

# A file system of the kind, with the tree on it, read once.
fresh_tree() {
    fresh_file_system "$kind"
    "$top/bench/tree.sh" "$tree" "$entries"
    flush
    ten_files
    grep -q ^tree: "$work/machine" || describe_tree >>"$work/machine"
    (cd "$tree" && tar -c . | cat >/dev/null)
}

describe_tree() {
    echo "tree: $(find "$tree" -mindepth 1 | wc -l) entries, $(find "$tree" -type f | wc -l) of them files," \
        "$(du -sm --apparent-size "$tree" | cut -f 1) MB, made by bench/tree.sh"
}

describe >"$work/machine"
for kind in ${kinds//,/ }; do
    first_takes
    nothing_changed
    ten_changed
    verified
    exports
    imports
done
if [ -n "$with_history" ]; then
    many_snapshots
    echo "many snapshots: $history, of 10 changes each, over $history_files files, on ext4" >>"$work/machine"
fi
end_file_system
echo "took: $SECONDS s${quick:+ (quick: too small to judge by)}" >>"$work/machine"
if [ -n "$output" ]; then
    python3 "$top/bench/report.py" "$work/results" "$work/machine" >"$work/table" && cp "$work/table" "$output"
else
    python3 "$top/bench/report.py" "$work/results" "$work/machine"
fi
