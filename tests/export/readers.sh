#!/bin/bash
# Exports are read back by the programs that people have, and give what the snapshot holds: content, metadata, links, holes.
# The witness is `same`, which shares no code with snapctl.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: readers.sh SNAPCTL SAME
set -u
snapctl=$(realpath -e "$1") || exit 2
same=$(realpath -e "$2") || exit 2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-readers.XXXXXX") || exit 2
mounted=()
clean() {
    local at
    for at in "${mounted[@]}"; do
        umount "$at"
    done
    chmod -R u+rwX "$scratch" 2>/dev/null
    rm -rf --one-file-system "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM
export SNAPCTL_STORE=$scratch/store XDG_STATE_HOME=$scratch/state LC_ALL=C
unset TAR_OPTIONS
passed=0 failed=0 skipped=0

# check WHAT COMMAND...
check() {
    local what=$1
    shift
    if "$@" >"$scratch/said" 2>&1; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        sed 's/^/    /' "$scratch/said"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "skipped: $*"
    skipped=$((skipped + 1))
}

have() {
    command -v "$1" >/dev/null || { skip "$2: there is no $1"; return 1; }
}

snap() {
    "$snapctl" -C "$scratch/project" "$@"
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

# The trees of three snapshots; kept as copies made by cp(1), for whoever compares.

special_files() {
    mknod null c 1 3
    mknod loop b 7 200
    echo owned >owned
    chown 3000000:12345 owned
    chmod 6755 owned
    touch -d @1000000000.5 owned
    setfattr -n trusted.word -v value dir
    setfattr -h -n trusted.link -v value link
}

first_tree() {
    local long odd
    long=$(printf 'l%.0s' {1..200})
    odd=$(printf '\377%.0s' {1..150})
    echo one >a
    ln a b
    ln -s a link
    ln -P link link2
    ln -s "$(printf 'x%.0s' {1..150})" longlink
    mkdir -p dir/deep "$long/$long" $'dir/n\xff\xfe' moves/in same
    head -c 300000 /dev/urandom >dir/big
    truncate -s 20M dir/sparse
    echo end >>dir/sparse
    ln dir/sparse "$long/sparse too"
    truncate -s 3M dir/hole
    head -c 200000 /dev/urandom >dir/mixed
    truncate -s 4M dir/mixed
    head -c 100000 /dev/urandom | dd of=dir/mixed bs=64K seek=20 conv=notrunc status=none
    head -c 70000 /dev/zero >dir/zeros
    : >empty
    mkfifo fifo
    echo x >$'dir/n\xff\xfe/y\x01'
    echo deep >"$long/$long/f"
    echo odd >"$long/$odd"
    echo utf8 >"$long/ü$(printf 'ü%.0s' {1..70})"
    echo utf8 >ü
    echo 1 >moves/1
    ln moves/1 moves/in/2
    ln moves/1 same/outside
    echo old >same/old
    mkdir replaced
    echo old >replaced/old
    echo same >replaced/same
    echo file >becomes-dir
    mkdir becomes-file
    echo in >becomes-file/in
    setfattr -n user.word -v 'a=b' a
    setfattr -n user.bytes -v 0x00ff0a dir/big
    setfacl -m u:1234:rw,g:77:r dir/big
    setfacl -d -m u:1234:rwx dir
    chmod 700 dir/deep
    touch -h -d @1234567890.123456789 link
    touch -d @4000000000.000000001 dir/deep
    ! is_root || special_files
}

second_tree() {
    mv moves moved
    rm -r replaced
    mkdir replaced
    echo new >replaced/new
    echo same >replaced/same
    rm becomes-dir
    mkdir becomes-dir
    echo in >becomes-dir/in
    rm -r becomes-file
    echo file >becomes-file
    rm same/old dir/zeros
    ln dir/big dir/big2
    setfattr -n user.overlay.word -v value same
    chmod 750 dir/deep
    echo more >>a
}

third_tree() {
    rm -r moved/in
    echo third >third
    touch -d @1111111111 same
}

mkdir "$scratch/project" && cd "$scratch/project" || exit 2
(first_tree) || exit 2
if ! snap -q take -m first; then
    echo "cannot take a snapshot"
    exit 1
fi
cp -a . "$scratch/first"
(second_tree) || exit 2
snap -q take -m second -n second || exit 1
cp -a . "$scratch/second"
(third_tree) || exit 2
snap -q take -m third || exit 1
cp -a . "$scratch/third"
cd "$scratch" || exit 2

fresh() {
    rm -rf --one-file-system "$scratch/to"
    mkdir "$scratch/to"
}

check "restore makes the tree" snap -q restore 1: "$scratch/restored"
check "restore gives what was taken" "$same" first restored

# GNU tar

unpack_gnu() {
    fresh && tar -C to -xpf "$1" --xattrs '--xattrs-include=*' --acls --numeric-owner --warning=no-unknown-keyword --warning=no-timestamp
}

for end in tar tar.gz tar.xz tar.zst; do
    check "export to .$end" snap -q export 1 -o "$scratch/first.$end"
    check "GNU tar unpacks .$end" unpack_gnu "first.$end"
    check "GNU tar reads .$end as it was" "$same" first to
done
check "export of the second tree" snap -q export 2 -o "$scratch/second.tar"
check "GNU tar unpacks the second tree" unpack_gnu second.tar
check "GNU tar reads the second tree as it was" "$same" second to
check "a pipe has the same bytes" bash -c "'$snapctl' -C '$scratch/project' export 1 | cmp - '$scratch/first.tar'"
check "GNU tar compares the tree with the archive" tar -C first -df first.tar --warning=no-unknown-keyword

# bsdtar leaves the time of the directory it extracts into as it is, and needs a locale of UTF-8 for long names in it.

if have bsdtar "reading by bsdtar"; then
    for end in tar tar.zst; do
        check "bsdtar unpacks .$end" env LC_ALL=C.UTF-8 bsdtar -C "$(fresh && echo to)" -xpf "first.$end" --numeric-owner
        check "bsdtar reads .$end as it was" "$same" first to ''
    done
fi

# mtree

check "export to .mtree" snap -q export 1 -o "$scratch/first.mtree"
check "every entry has a line" [ "$(grep -c '^\.' first.mtree)" -eq "$(find first -printf x | wc -c)" ]
check "digests are right" bash -c "grep '^./dir/big ' first.mtree | grep -q $(sha256sum <first/dir/big | cut -c1-64)"
! have bsdtar "listing of mtree by bsdtar" ||
    check "bsdtar lists it" [ "$(bsdtar -tf first.mtree | wc -l)" -eq "$(find first -printf x | wc -c)" ]
if have mtree "checking by mtree"; then
    check "mtree finds nothing different" mtree -p first -f first.mtree
    echo other >>first/dir/mixed
    check "mtree finds what is different" [ -n "$(mtree -p first -f first.mtree)" ]
fi

# Differences

overlay_shows() {
    mkdir -p mnt/older mnt/layer mnt/merged
    tar -C mnt/older -xpf "$1" --xattrs '--xattrs-include=*' --acls --numeric-owner --warning=no-unknown-keyword --warning=no-timestamp &&
        tar -C mnt/layer -xpf "$2" --xattrs '--xattrs-include=*' --acls --numeric-owner --warning=no-unknown-keyword --warning=no-timestamp &&
        mount -t overlay overlay -o ro,userxattr,lowerdir=mnt/layer:mnt/older mnt/merged
}

check "export of a difference for overlayfs" snap -q export 2 --since 1 --whiteouts overlay -o "$scratch/delta.tar"
check "a difference is the same bytes each time" bash -c "'$snapctl' -C '$scratch/project' export 2 --since 1 --whiteouts overlay | cmp - delta.tar"
mkdir mnt
if ! is_root; then
    skip "mounting of a difference: only root can"
elif ! mount -t tmpfs tmpfs mnt 2>/dev/null; then
    skip "mounting of a difference: cannot mount a tmpfs"
else
    mounted=("$scratch/mnt")
    if overlay_shows first.tar delta.tar 2>said; then
        mounted=("$scratch/mnt/merged" "$scratch/mnt")
        check "the kernel shows the newer tree" "$same" second mnt/merged space
    elif grep -q '^mount' said; then
        skip "mounting of a difference: $(head -n 1 said)"
    else
        check "a difference unpacks" cat said missing
    fi
fi
check "a difference says what was deleted" [ "$(snap export 2 --since 1 | tar -tf - | grep '\.wh\.' | tr '\n' ' ')" = \
    ".wh.moves dir/.wh.zeros replaced/.wh..wh..opq same/.wh.old " ]
check "one backwards gives what was there" [ "$(snap export 1 --since 2 | tar -tf - | grep -cx 'moves/1')" -eq 1 ]
check "nothing but the root differs from itself" [ "$(snap export 2 --since 2 | tar -tf -)" = ./ ]

# OCI images. umoci cannot make sparse files of what has no holes any more, and reads times past 2038 wrongly.

blobs_are_right() {
    local blob
    for blob in "$1"/blobs/sha256/*; do
        [ "$(sha256sum <"$blob" | cut -c1-64)" = "${blob##*/}" ] || return 1
    done
}

# The digests that a document of an image names, of what is called $2 in it.
digests() {
    grep -o "\"$2\":.*" "$1" | grep -o 'sha256:[0-9a-f]*' | cut -c8-
}

manifest_of() {
    echo "$1/blobs/sha256/$(digests "$1/index.json" manifests)"
}

diff_ids() {
    local digest
    digests "$(manifest_of "$1")" layers | while read -r digest; do
        zcat "$1/blobs/sha256/$digest" | sha256sum | cut -c1-64
    done
}

config_of() {
    echo "$1/blobs/sha256/$(digests "$(manifest_of "$1")" config | head -n 1)"
}

check "export to .oci" snap -q export 1 -o "$scratch/first.oci"
check "export of layers" snap -q export latest --since 1 -o "$scratch/all.oci"
check "export to .oci.tar" snap -q export latest --since 1 -o "$scratch/all.oci.tar"
fresh
check "the file has what the directory has" bash -c 'tar -C to -xf all.oci.tar && diff -r all.oci to'
check "an image to a pipe is the same bytes" bash -c "'$snapctl' -C '$scratch/project' export 3 --since 1 --format oci | cmp - all.oci.tar"
check "blobs are called by their digest" blobs_are_right all.oci
check "three snapshots are three layers" [ "$(diff_ids all.oci | wc -l)" -eq 3 ]
check "diff_ids are digests of what is not compressed" [ "$(digests "$(config_of all.oci)" diff_ids)" = "$(diff_ids all.oci)" ]
check "second has its name" snap -q export second -o "$scratch/second.oci"
if have umoci "unpacking by umoci"; then
    touch -d @4000000000.000000001 none
    rootless=()
    is_root || rootless=(--rootless)
    check "umoci unpacks one layer" umoci raw unpack "${rootless[@]}" --image first.oci:1 one
    check "umoci unpacks layers" umoci raw unpack "${rootless[@]}" --image all.oci:3 three
    check "umoci finds the name" umoci raw unpack "${rootless[@]}" --image second.oci:second two
    snap -q restore 1: "$scratch/first.whole"
    if is_root; then
        touch -d @1 first.whole/dir/deep second/dir/deep third/dir/deep one/dir/deep two/dir/deep three/dir/deep
        check "one layer is the snapshot" "$same" first.whole one space
        check "the named one is the snapshot" "$same" second two space
        check "layers are the newest snapshot" "$same" third three space
    else
        check "layers have the same names" [ "$(cd third && find . | sort)" = "$(cd three && find . | sort)" ]
    fi
fi
if have skopeo "copying by skopeo"; then
    check "skopeo copies from a directory" skopeo --insecure-policy copy -q oci:all.oci:3 oci:copied:3
    check "skopeo copies from a file" skopeo --insecure-policy copy -q oci-archive:all.oci.tar:3 oci:copied2:3
    check "skopeo finds the layers" [ "$(skopeo inspect oci:copied:3 --format '{{len .Layers}}')" = 3 ]
    check "blobs arrive as they were" diff -r all.oci/blobs copied/blobs
fi

# snapctl itself

check "import reads an export" snap -q import -n again "$scratch/first.tar.zst"
check "and finds all of it" snap diff --times --exit-code 1 again

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
