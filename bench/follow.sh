#!/bin/bash
# How long a change below a workspace that follows takes to be seen in it: for each kind of change the median, the 99th percentile and
# the worst, in microseconds; and how often something was still not seen after a barrier, which has to be never.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: follow.sh BUILD_DIR [CHANGES]        CHANGES of each kind, 5000
set -u
build=$(realpath -e "${1?usage: follow.sh BUILD_DIR [CHANGES]}") || exit 2
changes=${2-5000}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-follow.XXXXXX") || exit 2
trap 'umount "$scratch/merged" 2>/dev/null; rm -rf --one-file-system "$scratch"' EXIT
cd "$scratch" || exit 2
mkdir lower upper work merged
"$build/cli/snapctl-overlay" -o lowerdir=lower,upperdir=upper,workdir=work,follow merged || exit 1
"$build/tests/mount/follow_latency" lower merged "$changes"
