#!/usr/bin/env python3
"""Turns what run.sh measured into a table in Markdown, the targets beside the results.

Does not measure, does not leave anything out: a row that was measured is shown, a target that was missed is called missed.
SPDX-License-Identifier: GPL-2.0-or-later

usage: report.py RESULTS_DIR MACHINE_FILE
"""
import glob
import json
import os
import statistics
import sys

ROWS = {
    'first-take': 'first take',
    'unchanged-status': 'status, nothing changed',
    'unchanged-take': 'take, nothing changed',
    'ten-take': 'take of 10 changed files',
    'ten-diff': 'diff of two snapshots, 10 files apart',
    'ten-rollback': 'rollback of 10 files',
    'verify': 'verify all that is stored',
    'export': 'export to a .tar',
    'import': 'import of a .tar',
}
TOOLS = {
    'snapctl': 'snapctl', 'snapctl-no-sync': 'snapctl --no-sync', 'cp': '`cp -a`', 'reflink': '`cp -a --reflink=always`',
    'git': 'git', 'restic': 'restic', 'borg': 'borg', 'tar': 'GNU tar', 'bsdtar': 'bsdtar',
    'snapctl-quick': 'snapctl --quick', 'xxhsum': '`xxhsum -H128`',
}
# (row, tool): what is measured against, how many times that, or seconds. None as file systems = all.
RATIO_TARGETS = [
    ('first-take', 'snapctl', 'cp', 0.8, ('ext4',)),
    ('first-take', 'snapctl', 'reflink', 0.6, ('xfs', 'btrfs')),
    ('verify', 'snapctl', 'xxhsum', 1.25, None),
    ('unchanged-status', 'snapctl', 'git', 0.4, None),
    ('export', 'snapctl', 'tar', 1.1, None),
    ('import', 'snapctl', 'tar', 1.3, None),
]
# The yardstick of an unchanged take is `git status`, which stands in another row.
CROSS_TARGETS = [('unchanged-take', 'snapctl', 'unchanged-status', 'git', 0.4)]
TIME_TARGETS = [('ten-diff', 'snapctl', 0.010)]
PEAK_TARGET = 200 * 1024        # KiB, every run of snapctl
HISTORY = {
    'diff': 'diff of the newest two', 'diff-old': 'diff of two old ones', 'ls': 'ls of a directory, newest',
    'ls-old': 'ls of a directory, an old one', 'cat': 'cat of a file', 'log': 'log of a path that changed once',
    'status': 'status', 'take': 'take of 10 changes, --no-sync', 'gc': 'gc of the middle one',
    'rollback': 'rollback of 10 files',
}
HISTORY_TARGET = 1.3            # "the same", with the noise of such short runs


def load(directory):
    """{(file system, row, tool): (median seconds, peak KiB, runs)}"""
    times, peaks = {}, {}
    for name in sorted(glob.glob(os.path.join(directory, '*.json'))):
        key = tuple(os.path.basename(name).split('--')[:3])
        with open(name, encoding='utf-8') as file:
            times.setdefault(key, []).extend(json.load(file)['results'][0]['times'])
        with open(name.removesuffix('.json') + '.peak', encoding='utf-8') as file:
            peaks[key] = max(peaks.get(key, 0), int(file.read().split()[-1]))
    return {key: (statistics.median(times[key]), peaks[key], len(times[key])) for key in times}


def seconds(value):
    return f'{value:.2f} s' if value >= 1 else f'{value * 1000:.0f} ms' if value >= 0.1 else f'{value * 1000:.1f} ms'


def verdict(target, met):
    return f'{target}: {"met" if met else "**missed**"}'


def judge(results, kind, row, tool):
    """What the design asks of this cell, and whether it is so."""
    mine = results[kind, row, tool][0]
    found = []
    for a, b, other, factor, kinds in RATIO_TARGETS:
        if (a, b) == (row, tool) and (kinds is None or kind in kinds) and (kind, row, other) in results:
            ratio = mine / results[kind, row, other][0]
            found.append(verdict(f'<= {factor} x {TOOLS[other]}', ratio <= factor))
    for a, b, other_row, other, factor in CROSS_TARGETS:
        if (a, b) == (row, tool) and (kind, other_row, other) in results:
            ratio = mine / results[kind, other_row, other][0]
            found.append(verdict(f'<= {factor} x `git status` ({ratio:.2f})', ratio <= factor))
    for a, b, limit in TIME_TARGETS:
        if (a, b) == (row, tool):
            found.append(verdict(f'<= {seconds(limit)}', mine <= limit))
    if tool == 'snapctl' and results[kind, row, tool][1] > PEAK_TARGET:
        found.append(verdict('<= 200 MB', False))
    return '; '.join(found)


def table(results, kind):
    print(f'\n## {kind}\n')
    print('| work | program | time | snapctl is | peak memory | runs | target |')
    print('| --- | --- | ---: | ---: | ---: | ---: | --- |')
    for row, title in ROWS.items():
        for tool, name in TOOLS.items():
            if (kind, row, tool) not in results:
                continue
            time, peak, runs = results[kind, row, tool]
            ratio = '' if tool.startswith('snapctl') else f'{results[kind, row, "snapctl"][0] / time:.2f} x'
            target = judge(results, kind, row, tool)
            print(f'| {title} | {name} | {seconds(time)} | {ratio} | {peak / 1024:.0f} MB | {runs} | {target} |')


def history(results, kind):
    if (kind, 'few-diff', 'snapctl') not in results:
        return
    print('\n## Many snapshots\n')
    print('| work | with 10 snapshots | with all | ratio | peak memory | target |')
    print('| --- | ---: | ---: | ---: | ---: | --- |')
    for row, title in HISTORY.items():
        few, many = results[kind, 'few-' + row, 'snapctl'], results[kind, 'many-' + row, 'snapctl']
        ratio = many[0] / few[0]
        target = verdict(f'<= {HISTORY_TARGET} x', ratio <= HISTORY_TARGET)
        print(f'| {title} | {seconds(few[0])} | {seconds(many[0])} | {ratio:.2f} | {many[1] / 1024:.0f} MB | {target} |')


def main(directory, machine):
    results = load(directory)
    print('# Results\n')
    print('One run of `bench/run.sh` on one machine, warm caches, fresh file systems in loop-mounted images; medians. Trust the')
    print('ratios, not the digits. "snapctl is 0.50 x" means half the time of the program in that line. `cp`, git, restic and')
    print('borg, and both tars, are followed by `sync -f`, so that all of them end with the data on disk; `--no-sync` is the exception.')
    print('git and borg compress, restic compresses and encrypts; snapctl does neither. What git does is `git add -A && git')
    print('commit`, `git status`, `git diff --name-status` and `git checkout`; where nothing changed, `git add -A` alone. There is')
    print('no watcher: what changed is found by looking at every entry.\n')
    with open(machine, encoding='utf-8') as file:
        for line in file:
            print('-', line.strip())
    for kind in ('ext4', 'xfs', 'btrfs'):
        if (kind, 'first-take', 'snapctl') in results:
            table(results, kind)
    history(results, 'ext4')


main(sys.argv[1], sys.argv[2])
