#!/bin/bash
# Installs the Debian packages that are missing; the only place that lists them.
# Touches nothing when all are there, and never removes or upgrades.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: deps.sh [--list] [build] [test] [ci] [bench]      default: build test
set -euo pipefail

packages() {
    case $1 in
    build) echo gcc libfuse3-dev libc6-dev meson ninja-build pkg-config libsqlite3-dev libxxhash-dev libgit2-dev libjson-c-dev libinotifytools0-dev libarchive-dev nettle-dev zlib1g-dev ;;
    test) echo tar libarchive-tools mtree-netbsd umoci skopeo zstd xz-utils libcmocka-dev git patch sqlite3 fuse3 rsync stress-ng fuse-overlayfs acl attr util-linux mount bsdutils mandoc e2fsprogs xfsprogs btrfs-progs ;;
    ci) echo clang libclang-rt-dev shellcheck bash zsh fish passwd nfs-ganesha nfs-ganesha-vfs rpcbind libnfs-dev iproute2 ;;
    bench) echo git restic borgbackup hyperfine time xxhash e2fsprogs xfsprogs btrfs-progs mount tar libarchive-tools ;;
    *) echo "deps.sh: no group of packages is called '$1'" >&2; exit 2 ;;
    esac
}

missing() {
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

list=
[ "${1-}" != --list ] || { list=1; shift; }
[ $# -gt 0 ] || set -- build test
all=
for group; do
    names=$(packages "$group")
    all="$all $names"
done
read -ra all <<<"$all"
if [ -n "$list" ]; then
    printf '%s\n' "${all[@]}" | sort -u
    exit
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps.sh: not a Debian system; needed are what Debian calls: ${all[*]}" >&2
    exit 0
fi
mapfile -t needed < <(missing "${all[@]}" | sort -u)
[ ${#needed[@]} -gt 0 ] || exit 0
sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps.sh: these packages are missing, and installing them takes root or sudo: ${needed[*]}" >&2
        exit 1
    }
    sudo=(sudo)
fi
echo "installing ${needed[*]}"
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
"${apt[@]}" update >/dev/null
"${apt[@]}" install --no-install-recommends "${needed[@]}" </dev/null
