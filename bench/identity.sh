#!/bin/bash
# What identity costs in a mount: requests for each object that is looked up, with and without records; memory; the time in which
# handles open after another mount, beside the kernel's overlayfs. Changes nothing but its own temporary directory; takes root.
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

usage() {
    cat <<TEXT
usage: identity.sh [OPTION]...
  --quick             few files: to see that it works
  --build-dir DIR     an optimised build with tests; default: build-bench-tests, which is made
  -o FILE             where the table goes; default: standard output
TEXT
}

files=100000 handles=10000 dir='' output=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) files=5000 handles=1000 ;;
    --build-dir) dir=$(realpath "${2:?}") && shift ;;
    -o) output=$(realpath -m "${2:?}") && shift ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || die "mounting file systems takes root"
if [ -z "$dir" ]; then
    dir=$top/build-bench-tests
    release_build "$dir"
fi
program=$dir/cli/snapctl-overlay decoder=$dir/tests/mount/mount_handles
work=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-bench.XXXXXX")
clean() {
    cd /
    umount -l "$work/merged" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
cd "$work"
mkdir lower upper work merged
for ((i = 0; i < files / 500; i++)); do
    mkdir lower/$i
    (cd lower/$i && seq 500 | xargs touch)
done
objects=$((files + files / 500))

layers=lowerdir=lower,upperdir=upper,workdir=work
serve() { "$program" -o $layers merged; }
unserve() { umount merged && flock upper true; }
walk() { find merged -printf '%i\n' >/dev/null; }
server() { pgrep -n -f "^$program .*merged"; }
kilobytes() { awk '/^VmRSS/ { print $2 }' "/proc/$(server)/status"; }
forget() { echo 2 >/proc/sys/vm/drop_caches; }

# requests: of one walk of everything
requests() {
    "$program" -f -d -o $layers merged 2>requests &
    until mountpoint -q merged; do kill -0 $!; done
    walk
    unserve
    wait $!
    grep -c '^unique: [0-9]*, opcode: \(LOOKUP\|READDIRPLUS\|READDIR\|GETATTR\|OPENDIR\|RELEASEDIR\|STATX\)' requests
}

# memory: bytes for each object that is looked up
memory() {
    serve
    ls merged >/dev/null
    local before
    before=$(kilobytes)
    walk
    echo $((($(kilobytes) - before) * 1024 / objects))
    unserve
}

decode() {
    "$decoder" take merged taken $handles
    umount merged
    "$@"
    forget
    "$decoder" open merged taken | sed 's/.* in //'
}

report() {
    local plain recorded
    printf '%-64s %12s\n' "$files files" value
    plain=$(requests)
    printf '%-64s %12s\n' "requests for 1000 objects, none copied up" $((plain * 1000 / objects))
    printf '%-64s %12s\n' "memory for 1 000 000 objects, none copied up, MB" "$(memory)"
    serve
    printf '%-64s %12s\n' "first $handles handles after another mount, none copied up" "$(decode eval 'flock upper true; serve')"
    forget
    printf '%-64s %12s\n' "the same once more, with empty caches" "$("$decoder" open merged taken | sed 's/.* in //')"
    unserve
    mount -t overlay overlay -o $layers,index=on,nfs_export=on merged 2>/dev/null &&
        printf '%-64s %12s\n' "first $handles handles, overlayfs with nfs_export=on" \
            "$(decode mount -t overlay overlay -o $layers,index=on,nfs_export=on merged)" && umount merged
    rm -rf upper work
    mkdir upper work
    serve
    chmod -R u+x merged
    unserve
    recorded=$(requests)
    printf '%-64s %12s\n' "requests for 1000 objects, all copied up" $((recorded * 1000 / objects))
    printf '%-64s %12s\n' "memory for 1 000 000 objects, all copied up, beside records, MB" "$(memory)"
    printf '%-64s %12s\n' "bytes of a record on disk" $(($(stat -c %s work/identity) / objects))
    serve
    printf '%-64s %12s\n' "first $handles handles after another mount, all copied up" "$(decode eval 'flock upper true; serve')"
    unserve
}
if [ -n "$output" ]; then report >"$output"; else report; fi
