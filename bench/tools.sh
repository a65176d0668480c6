# What each program is asked to do, in the same words for all: begin, take, look.
# Sourced and exported by run.sh, which sets the variables; refuses nothing, measures nothing.
#
#   tree     the directory to be captured          out    where programs keep what they captured, on the same file system
#   ten      ten files of the tree, spread         used   what is over, moved there: deleting would slow the next down
#   snapctl  the program                           image  what the file system is made in
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154

flush() {
    sync -f "$out"
}

# A place for TOOL to begin in, as if it had never run.
aside() {
    [ ! -e "$out/$1" ] || mv "$out/$1" "$used/$1.$(date +%s%N)"
    mkdir -p "$out/$1"
    # What the image holds is in the cache of the file system that is measured already; once is enough.
    dd of="$image" oflag=nocache conv=notrunc,fdatasync count=0 status=none
}

# Ten files of the tree get one line more.
change_ten() {
    local file
    while read -r file; do
        date +%N >>"$tree/$file"
    done <"$ten"
    flush
}

snapctl_begin() {
    aside snapctl
    flush
}
snapctl_take() {
    "$snapctl" -q -C "$tree" take
}

cp_begin() {
    aside cp
    flush
}
cp_take() {
    cp -a "$tree" "$out/cp/copy" && flush
}

reflink_begin() {
    aside reflink
    flush
}
reflink_take() {
    cp -a --reflink=always "$tree" "$out/reflink/copy" && flush
}

git_begin() {
    aside git
    git init -q "$out/git/repository"
    git config gc.auto 0
    git config user.name bench
    git config user.email bench@localhost
    flush
}
# Ignored files count here too.
git_take() {
    git add -A -f . && git commit -q -m x && flush
}

restic_begin() {
    aside restic
    restic init -q
    flush
}
restic_take() {
    restic backup -q "$tree" && flush
}

borg_begin() {
    aside borg
    borg init -e none
    flush
}
borg_take() {
    borg create "::a$(date +%s%N)" "$tree" && flush
}

# A whole snapshot, or the whole tree, as an archive with everything that both hold, on disk when it is over. The snapshot's
# content is compared with its digests on the way.
export_begin() {
    rm -f "$out/export.tar"
    flush
}
snapctl_export() {
    "$snapctl" -q -C "$tree" export latest -o "$out/export.tar"
}
tar_export() {
    tar -C "$tree" --format=posix --sort=name --numeric-owner --xattrs --acls -cf "$out/export.tar" . && flush
}
bsdtar_export() {
    bsdtar -C "$tree" --format=pax --numeric-owner --xattrs --acls -cf "$out/export.tar" . && flush
}

# The other way: into an empty directory, or a project that never had a snapshot.
import_begin() {
    aside import
    mkdir "$out/import/tree"
    flush
}
snapctl_import() {
    "$snapctl" -q -C "$out/import/tree" --store "$out/import/store" import "$out/../import.tar"
}
tar_import() {
    tar --xattrs -xpf "$out/../import.tar" -C "$out/import/tree" && flush
}
bsdtar_import() {
    bsdtar -xpf "$out/../import.tar" -C "$out/import/tree" && flush
}
