#!/usr/bin/env python3
"""Counts test cases in meson's testlog.json: those of cmocka's programs and of those that end with `N passed, N failed, N skipped`.

Does not run anything. Shows the end of each failed log and the reasons of what was skipped; its last line is the sum.
SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import os
import re
import sys

TAIL = 60
CMOCKA = re.compile(r'^\[  (PASSED|FAILED|SKIPPED) *\] (\d+) test\(s\)', re.M)
OWN = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped', re.M)
REASON = re.compile(r'^.*\bskipped\b.*$', re.M | re.I)
SUMMARY = re.compile(r'test\(s\), listed below|^ *\d+ SKIPPED TEST|^\d+ passed')
WRONG = re.compile(r'^\[(?:  FAILED  |   LINE   |  ERROR   )\].*$', re.M)


def count(test):
    """(passed, failed, skipped) of one program; one that fails without saying so counts as one failed case."""
    text = test.get('stdout', '') + '\n' + test.get('stderr', '')
    counts = {'PASSED': 0, 'FAILED': 0, 'SKIPPED': 0}
    for kind, number in CMOCKA.findall(text):
        counts[kind] += int(number)
    passed, failed, skipped = counts.values()
    own = OWN.findall(text)
    if own:
        passed, failed, skipped = (a + int(b) for a, b in zip((passed, failed, skipped), own[-1]))
    bad = test['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL')
    if bad and not failed:
        failed = 1
    elif not bad and not passed + failed + skipped:
        passed, skipped = (0, 1) if test['result'] == 'SKIP' else (1, 0)
    return text, (passed, failed, skipped)


def main(path):
    totals = [0, 0, 0]
    tests = []
    if os.path.exists(path):
        with open(path, encoding='utf-8', errors='replace') as log:
            tests = [json.loads(line) for line in log if line.strip()]
    if not tests:
        print('no test was run')
        totals[1] = 1
    for test in tests:
        text, counts = count(test)
        totals = [a + b for a, b in zip(totals, counts)]
        if counts[1]:
            print(f'\n-- {test["name"]}: {test["result"]}, the end of its log:')
            print('\n'.join(text.rstrip().splitlines()[-TAIL:]))
            print('\n'.join(dict.fromkeys(WRONG.findall(text))))
        elif counts[2]:
            for line in dict.fromkeys(REASON.findall(text)):
                if not SUMMARY.search(line):
                    print(f'-- {test["name"]}: {line.strip()}')
    print(f'{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped')
    return 1 if totals[1] else 0


sys.exit(main(sys.argv[1]))
