#!/bin/bash
# Makes a tree of real files: the first COUNT entries of this machine's own /usr, in the order of their names, copied.
# The choice depends on what is installed and on nothing else; says how much it became. Changes nothing outside DIR.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: tree.sh DIR COUNT [files]      files: count regular files only, and make no empty directory
set -euo pipefail
export LC_ALL=C
dir=$1 count=$2
kind=()
[ "${3-}" != files ] || kind=(-type f)

# Directories before what is in them, so that a cut leaves a whole tree.
choose() {
    local source
    for source in usr/include usr/share usr/lib usr/bin; do
        [ ! -d "/$source" ] || (cd / && find "$source" -xdev "${kind[@]}" -print0 | sort -z)
    done
}

mkdir -p "$dir"
{ choose || true; } | head -z -n "$count" | tar -C / -c --no-recursion --null -T - | tar -C "$dir" -x -p --same-owner
