# Copyright (c) mmdckd contributors. All rights reserved.
"""Fills the tables of README.md and of docs/ with the committed results.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. `make docs`
runs this file; ``--check`` only tells whether the pages are fresh.
"""

import functools
import re
import sys
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from mmdckd.sweep.lines import Line, make_lines
from mmdckd.sweep.markdown import spread
from mmdckd.sweep.plan import make_plan
from mmdckd.sweep.results import Results
from mmdckd.sweep.spec import load_spec
from mmdckd.sweep.statistics import paired_difference, summarize

ROOT = Path(__file__).parents[1]
PAGES = ('README.md', 'docs/explanation/peers.md', 'docs/howto/tuning.md')
BLOCK = re.compile(r'(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)', re.S)
#: Setting, default, and the line of each ablation that changes it.
DEFAULTS = (
    ('alpha', '1.0', 'alpha = 0.0', 'alpha = 0'),
    ('alpha', '1.0', 'alpha = 0.5', ''),
    ('alpha', '1.0', 'alpha = 2.0', 'alpha = 2'),
    ('beta', '1.0', 'beta = 0.0', 'beta = 0'),
    ('beta', '1.0', 'beta = 0.5', ''),
    ('beta', '1.0', 'beta = 2.0', 'beta = 2'),
    ('gamma', '0.1', 'gamma = 0.0', 'gamma = 0'),
    ('gamma', '0.1', 'gamma = 0.3', ''),
    ('correlation', 'all', *['gamma of the other classes'] * 2),
    ('tau', '4.0', 'tau = 2.0', 'tau = 2'),
    ('tau', '4.0', 'tau = 8.0', ''),
    ('collector', 'logit_mean', *['collector = mean'] * 2),
    ('collector', 'logit_mean', *['collector = max'] * 2),
    ('collector', 'logit_mean', *['collector = min_logit'] * 2),
    ('collector', 'logit_mean', *['teacher collected'] * 2),
    ('ramp', 'None', 'ramp of 3 epochs', 'ramp of 10 epochs'),
    ('views', 'shared', *['independent views'] * 2),
    ('students', '4', *['2 students'] * 2),
    ('students', '4', *['3 students'] * 2),
    ('students', '4', *['6 students'] * 2),
    ('students', '4', *['wider peers'] * 2),
)


@functools.cache
def results_of(sweep: str) -> Dict[str, Line]:
    """The lines of a sweep by name."""
    (path,) = (ROOT / 'configs' / 'sweeps').glob(f'{sweep}.*')
    spec = load_spec(str(path.relative_to(ROOT)))
    results = Results(f'docs/results/{spec.name}/results.jsonl')
    entries = make_plan(spec, 'work_dirs')
    lines = make_lines(spec, entries, results)
    outdated = [line.method.name for line in lines if line.outdated]
    if outdated:
        raise SystemExit(f'error: the results of {outdated} in {sweep} are outdated')
    return {line.method.name: line for line in lines}


def difference(sweep: str, ours: str, theirs: str, bold: bool = False) -> str:
    """The paired difference of two lines, with its 95 % interval."""
    lines = results_of(sweep)
    found = paired_difference(lines[ours].values(), lines[theirs].values())
    text = f'{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]'
    return f'**{text}**' if bold and found.clear_of_zero else text


def accuracy(
    rows: Sequence[Tuple[str, str, str]],
    heading: str = '',
    compare: Optional[Callable[[str, str], str]] = None,
) -> List[str]:
    """A table of methods: label, sweep and line of each."""
    extra = [heading] if heading else []
    header = ['method', 'students', 'test top-1', *extra, 'ensemble']
    table = [header, [':---', *['---:'] * (len(header) - 1)]]
    for label, sweep, name in rows:
        line = results_of(sweep)[name]
        own = [spread(summarize(list(line.values().values())))]
        if compare is not None:
            own.append(compare(sweep, name))
        ensemble = ''
        if line.num_students > 1:
            ensemble = spread(summarize(list(line.values('ensemble').values())))
        table.append([label, str(line.num_students), *own, ensemble])
    return ['| ' + ' | '.join(row) + ' |' for row in table]


def many_images() -> List[str]:
    comparison = 'glyph62_comparison'
    ablation = 'glyph62_ablation'
    rows = [
        ('plain', comparison, 'plain'),
        ('KD', comparison, 'kd'),
        ('KD, alpha = 2', ablation, 'kd, alpha = 2.0'),
        ('KD, four times as long', comparison, 'kd, four times as long'),
        ('DKD', comparison, 'dkd'),
        ('DIST', comparison, 'dist'),
        ('DML', comparison, 'dml'),
        ('KDCL', comparison, 'kdcl'),
        ('four of KD, each by itself', comparison, 'four of kd'),
        ('DCKD', comparison, 'dckd'),
        ('DCKD, alpha = 2', ablation, 'alpha = 2.0'),
        ('DCKD, teacher collected too', ablation, 'teacher collected'),
        ('DCKD + DIST', comparison, 'dist + dckd'),
    ]

    def compare(sweep: str, name: str) -> str:
        return '' if name == 'kd' else difference(sweep, name, 'kd')

    return accuracy(rows, 'to KD', compare)


def few_images() -> List[str]:
    sweep = 'glyph62_few'
    rows = [
        ('plain', sweep, 'plain'),
        ('DKD', sweep, 'dkd'),
        ('DML', sweep, 'dml'),
        ('DIST', sweep, 'dist'),
        ('KD', sweep, 'kd'),
        ('KD, alpha = 2', sweep, 'kd, alpha = 2.0'),
        ('KD, four times as long', sweep, 'kd, four times as long'),
        ('DCKD', sweep, 'dckd'),
    ]

    def compare(sweep: str, name: str) -> str:
        rivals = ('plain', 'dkd', 'dml', 'dist', 'kd')
        return difference(sweep, 'dckd', name) if name in rivals else ''

    return accuracy(rows, 'DCKD to it', compare)


def digits() -> List[str]:
    names = ('teacher', 'plain', 'KD', 'DML', 'DCKD')
    return accuracy([(name, 'digits', name.lower()) for name in names])


def defaults() -> List[str]:
    sweeps = ('glyph62_ablation', 'digits_ablation')
    table = ['| changed | default | Glyph62 | digits |', '| --- | --- | ---: | ---: |']
    for _, default, *names in DEFAULTS:
        labels = dict.fromkeys(name.replace('.0', '') for name in names if name)
        cells = [
            difference(sweep, name, 'dckd', bold=True) if name else ''
            for sweep, name in zip(sweeps, names)
        ]
        row = [' / '.join(labels), f'`{default}`', *cells]
        table.append('| ' + ' | '.join(row) + ' |')
    return table


def of_the_ablation(
    heading: str, rows: Sequence[Tuple[str, str]], default: str
) -> List[str]:
    """What one setting does to one student, to the ensemble and to the cost."""
    sweep = 'glyph62_ablation'
    header = [heading, 'test top-1', f'to {default}', 'ensemble', 'agree', 'TFLOP']
    table = [header, ['---:'] * len(header)]
    for label, name in rows:
        line = results_of(sweep)[name]
        agreement = summarize(
            [
                100 * record['last']['val']['cohort/agreement']
                for record in line.records.values()
            ]
        )
        flops = line.mean_of('train_flops')
        assert flops is not None
        table.append(
            [
                label,
                spread(summarize(list(line.values().values()))),
                '' if label == default else difference(sweep, name, 'dckd'),
                spread(summarize(list(line.values('ensemble').values()))),
                f'{agreement.mean:.1f} %',
                f'{flops / 1e12:.2f}',
            ]
        )
    return ['| ' + ' | '.join(row) + ' |' for row in table]


def number_of_students() -> List[str]:
    rows = [(str(n), f'{n} students') for n in (2, 3, 4, 6)]
    return of_the_ablation('students', rows, '4')


def weight_of_peers() -> List[str]:
    rows = [('0', 'beta = 0.0'), ('0.5', 'beta = 0.5'), ('1', 'dckd')]
    return of_the_ablation('`beta`', [*rows, ('2', 'beta = 2.0')], '1')


def peers() -> List[str]:
    table = ['| DCKD to | few images | many images |', '| --- | ---: | ---: |']
    for name in ('kd', 'dml', 'dkd', 'dist'):
        few, many = (
            difference(sweep, 'dckd', name)
            for sweep in ('glyph62_few', 'glyph62_comparison')
        )
        table.append(f'| `{name}` | {few} | {many} |')
    return table


TABLES = {
    'many-images': many_images,
    'few-images': few_images,
    'digits': digits,
    'defaults': defaults,
    'number-of-students': number_of_students,
    'weight-of-peers': weight_of_peers,
    'peers': peers,
}


def fill(text: str) -> str:
    """Fill every table of a page."""

    def table(found: 're.Match[str]') -> str:
        lines = TABLES[found.group(2)]()
        return found.group(1) + '\n'.join(lines) + '\n' + found.group(3)

    return BLOCK.sub(table, text)


def main() -> None:
    stale = []
    for page in PAGES:
        path = ROOT / page
        text = path.read_text(encoding='utf-8')
        filled = fill(text)
        if filled != text:
            stale.append(page)
            if '--check' not in sys.argv[1:]:
                path.write_text(filled, encoding='utf-8')
    if stale and '--check' in sys.argv[1:]:
        raise SystemExit(f'error: stale tables in {", ".join(stale)}: run make docs')


if __name__ == '__main__':
    main()
