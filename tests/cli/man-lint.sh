#!/bin/bash
# mandoc finds nothing to warn about in the manual. SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: man-lint.sh MAN_DIR
set -u
if ! command -v mandoc >/dev/null; then
    echo "0 passed, 0 failed, 1 skipped: there is no mandoc(1)"
    exit 77
fi
passed=0 failed=0
for page in "$1"/*.[1-8]; do
    if mandoc -T lint -W warning "$page" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
