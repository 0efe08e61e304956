# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare two methods of a sweep, seed by seed, after the last and the best epoch.

    python studies/evidence/differences.py RESULTS PAIR METHOD OTHER --level 0.9833

RESULTS is the results.jsonl of a sweep. The table has rows for the last epoch and for
the one that was best in validation: the mean test top-1 of either method, with its
standard deviation over the seeds; by how much METHOD is ahead of OTHER, with the
interval of Student's t at the level; and the difference of each seed, in their order.
A cohort counts by the mean of its students. Runs of several configs are refused.
"""

import argparse
from typing import Dict, List, Optional

import numpy as np
from scipy.stats import t

from mmdckd.io.data import read_lines
from mmdckd.sweep.markdown import table
from mmdckd.sweep.results import figure_of

METRIC = 'accuracy/top1'
EPOCHS = dict(last='the last epoch', best='the best epoch')


def main(args: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results')
    parser.add_argument('pair')
    parser.add_argument('method')
    parser.add_argument('other')
    parser.add_argument('--level', type=float, default=0.95)
    options = parser.parse_args(args)
    rows = [['after', options.method, options.other, 'ahead by', 'seed by seed']]
    records = [record for _, record in read_lines(options.results)]
    for name in (options.method, options.other):
        if has_several_configs(records, options.pair, name):
            parser.error(
                f'expected runs of one config of {name}, got several: RESULTS also '
                'has runs from before a change'
            )
    for epoch, text in EPOCHS.items():
        ours = figures_of(records, options.pair, options.method, epoch)
        theirs = figures_of(records, options.pair, options.other, epoch)
        if ours.keys() != theirs.keys() or len(ours) < 2:
            parser.error(
                f'expected the same seeds of both methods, at least two, got '
                f'{sorted(ours)} and {sorted(theirs)}'
            )
        each = np.array([ours[seed] - theirs[seed] for seed in sorted(ours)])
        low, high = interval(each, options.level)
        rows.append(
            [
                text,
                *(
                    f'{np.mean(list(side.values())):.2f} ± '
                    f'{np.std(list(side.values()), ddof=1):.2f}'
                    for side in (ours, theirs)
                ),
                f'{each.mean():+.2f} [{low:+.2f}, {high:+.2f}]',
                ', '.join(f'{difference:+.2f}' for difference in each),
            ]
        )
    print(table(rows))


def runs_of(records: List[dict], pair: str, method: str) -> List[dict]:
    """Return the runs of a method."""
    key = ('method', pair, method)
    return [r for r in records if (r['role'], r['pair'], r['name']) == key]


def has_several_configs(records: List[dict], pair: str, method: str) -> bool:
    """Tell whether the runs of a method have several configs.

    With a teacher for each seed, each seed has a fingerprint of its own.
    """
    known = {(r['seed'], r['fingerprint']) for r in runs_of(records, pair, method)}
    seeds, prints = ({each[i] for each in known} for i in (0, 1))
    return len(known) > len(seeds) or 1 < len(prints) < len(seeds)


def figures_of(
    records: List[dict], pair: str, method: str, epoch: str
) -> Dict[int, float]:
    """Return the test top-1 of a method by seed, in percent."""
    return {
        record['seed']: figure_of(record, record[epoch]['test'], METRIC, 'mean')
        for record in runs_of(records, pair, method)
    }


def interval(differences: np.ndarray, level: float) -> tuple:
    """Return the ends of Student's interval of the mean of paired differences."""
    return t.interval(
        level,
        len(differences) - 1,
        loc=differences.mean(),
        scale=differences.std(ddof=1) / len(differences) ** 0.5,
    )


if __name__ == '__main__':
    main()
