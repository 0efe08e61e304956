# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the results of a sweep as Markdown."""

import math
import shlex
from typing import Sequence, Tuple
from urllib.parse import quote

from .learned import learned_tables
from .lines import Line, make_lines
from .markdown import plain, spread, table
from .plan import Entry
from .results import Results, figure_of, has_metric
from .spec import Method, Spec
from .statistics import paired_difference, summarize

FIGURE_TEXTS = dict(
    mean='the mean over its students',
    first='its first student',
    best='the best student in validation',
    ensemble='the ensemble of its students',
)
#: The most methods that are named one by one as not run yet.
MOST_NAMED = 12


def to_markdown(
    spec: Spec,
    entries: Sequence[Entry],
    results: Results,
    out: str,
    plots: Sequence[Tuple[str, str]],
    link: str = '',
    level: int = 1,
) -> str:
    """Write the report of a sweep.

    Args:
        spec (Spec): The sweep.
        entries (Sequence[Entry]): The plan.
        results (Results): The results.
        out (str): The folder of the results and plots.
        plots (Sequence[Tuple[str, str]]): Title and file of every plot.
        link (str): That folder, relative to the report, with a slash. Defaults
            to '', the same folder.
        level (int): The level of its title. Defaults to 1: a separate page.

    Returns:
        str: Markdown.
    """
    lines = make_lines(spec, entries, results)
    mark = '#' * level
    parts = [f'{mark} {plain(spec.name)}', spec.about]
    if not lines:
        return '\n\n'.join([*parts, _not_run(spec, lines)]) + '\n'
    parts += [_preface(spec, lines)]
    for pair in spec.pairs:
        own = [line for line in lines if line.method.pair == pair]
        if own:
            parts += [
                f'{mark}# {plain(pair)}' if pair else '',
                _comparison(spec, own),
                _differences(spec, own),
                _details(own),
                learned_tables(own),
            ]
    parts += [_not_run(spec, lines), _teachers(spec, entries, results)]
    parts += [f'![{plain(title)}]({quote(link + file)})' for title, file in plots]
    parts += [_notes(spec, lines, out, link)]
    return '\n\n'.join(filter(None, parts)) + '\n'


def _preface(spec: Spec, lines: Sequence[Line]) -> str:
    figures = {line.method.figure for line in lines if line.num_students > 1}
    seeds = ', '.join(map(str, spec.seeds))
    text = (
        f'`{spec.metric}` on the test split after the last epoch: mean ± '
        f'standard deviation over the seeds {seeds}.'
    )
    if len(figures) == 1:
        text += f' For a cohort, it is {FIGURE_TEXTS[figures.pop()]}.'
    elif figures:
        text += ' For a cohort, the column of students says what it is.'
    return (
        f'{text}\n\nThis command repeats a row, whose method goes in place of '
        '`METHOD`, in quotes if its name has spaces:\n\n'
        f'    {command_of(spec)} {"PAIR/" if any(spec.pairs) else ""}METHOD'
    )


def _comparison(spec: Spec, lines: Sequence[Line]) -> str:
    rows = [['Method', 'Students', 'Runs', spec.metric]]
    several = len({x.method.figure for x in lines if x.num_students > 1}) > 1
    for line in lines:
        students = str(line.num_students)
        if several and line.num_students > 1:
            students += f', {line.method.figure}'
        rows.append(
            [
                _name(line),
                students,
                _runs(spec, line),
                spread(summarize(list(line.values().values()))),
            ]
        )
    return table(rows)


def _differences(spec: Spec, lines: Sequence[Line]) -> str:
    others = [
        line for name in spec.compare_with for line in lines if line.method.name == name
    ]
    if not others:
        return ''
    rows = [['Method', *(f'− {_name(other)}' for other in others)]]
    rows += [
        [_name(line), *(_difference(line, other) for other in others)] for line in lines
    ]
    return (
        'Each row minus the method that its column names, over runs with the same '
        "seed: the mean, and the 95 % interval of Student's t in brackets, in bold if "
        'it excludes 0. Each comparison stands alone, without correction for their '
        'number.\n\n'
    ) + table(rows)


def _name(line: Line) -> str:
    return plain(line.method.name) + (' (outdated)' if line.outdated else '')


def _runs(spec: Spec, line: Line) -> str:
    done, wanted = len(line.records), len(spec.seeds)
    return str(done) if done >= wanted else f'{done} of {wanted}'


def _details(lines: Sequence[Line]) -> str:
    rows = [
        [
            'Method',
            'First',
            'Best',
            'Ensemble',
            'Best epoch',
            'Parameters',
            'TFLOP',
            'Seconds',
        ]
    ]
    for line in lines:
        one = line.num_students == 1
        at_best = line.values(stage='best')
        epochs = [r['best']['epoch'] for r in line.records.values() if r['best']]
        rows.append(
            [
                _name(line),
                spread(summarize(list(line.values('first').values()))),
                '' if one else spread(summarize(list(line.values('best').values()))),
                ''
                if one
                else spread(summarize(list(line.values('ensemble').values()))),
                f'{spread(summarize(list(at_best.values())))} '
                f'({sum(epochs) / len(epochs):.0f})'
                if epochs
                else '',
                _mean(line, 'parameters', '{:,.0f}'),
                _mean(line, 'train_flops', '{:.3g}', 1e12),
                _mean(line, 'train_seconds', '{:,.0f}'),
            ]
        )
    return (
        'The same runs after the last epoch: the first student, the best one in '
        'validation, and the ensemble. "Best epoch" is the result after the epoch '
        'that was best in validation, with the mean number of that epoch in '
        'parentheses. "Parameters" are those of one student. "TFLOP" counts the '
        'matrix products and convolutions of the training, including the forward '
        'passes of the teacher. "Seconds" are wall time including validations, on a '
        'machine that may have been busy.'
        '\n\n'
    ) + table(rows)


def _mean(line: Line, key: str, text: str, unit: float = 1) -> str:
    value = line.mean_of(key)
    return '' if value is None else text.format(value / unit)


def _not_run(spec: Spec, lines: Sequence[Line]) -> str:
    done = [line.method for line in lines]
    missing = [method for method in spec.methods if method not in done]
    if not missing:
        return ''
    if len(missing) <= MOST_NAMED:
        return f'Not run yet: `{command_of(spec, *missing)}`'
    numbers = []
    for pair in spec.pairs:
        absent, planned = (
            sum(method.pair == pair for method in methods)
            for methods in (missing, spec.methods)
        )
        if absent:
            where = f' for {plain(pair)}' if pair else ''
            numbers.append(f'{absent} of {planned}{where}')
    return (
        f'Methods that have not run yet: {", ".join(numbers)}. '
        f'`python tools/sweep.py {shlex.quote(spec.path)}` runs them.'
    )


def _teachers(spec: Spec, entries: Sequence[Entry], results: Results) -> str:
    texts = []
    for entry in entries:
        if entry.role == 'teacher':
            record = results.find(entry) or results.find_outdated(entry)
            if record is not None and has_metric(record, spec.metric):
                value = figure_of(record, record['last']['test'], spec.metric, 'mean')
                texts.append(
                    f'{plain(entry.name)}, seed {entry.seed}: {value:.2f} '
                    f'({record["parameters"]:,} parameters)'
                )
    if not texts:
        return ''
    return 'The teachers, after their last epoch: ' + '; '.join(texts) + '.'


def _notes(spec: Spec, lines: Sequence[Line], out: str, link: str) -> str:
    records = [r for line in lines for r in line.records.values()]
    texts = [
        f'This command generates the report from '
        f'[results.jsonl]({quote(link)}results.jsonl), which has one line a run (also '
        f'as [results.csv]({quote(link)}results.csv)):\n\n    '
        + report_command(spec, out)
    ]
    if any(line.outdated for line in lines):
        texts.append(
            'Outdated: the config of this method or of its teacher has changed since '
            'these runs.'
        )
    if any(record['test_is_val'] for record in records):
        texts.append(
            'Validation and test use the same images here, so the best epoch was '
            'chosen on the test images.'
        )
    resumed = sum(record['resumed'] for record in records)
    if resumed:
        texts.append(f'{resumed} of the runs were interrupted and resumed.')
    where = {(r['device'], r['threads']) for r in records}
    texts.append(
        'Run with '
        + '; '.join(
            sorted(
                {
                    ', '.join(
                        f'{name} {version}' for name, version in r['versions'].items()
                    )
                    for r in records
                }
            )
        )
        + ' on '
        + ' and '.join(
            f'{device} ({threads} threads)' for device, threads in sorted(where)
        )
        + '.'
    )
    return '\n\n'.join(texts)


def command_of(spec: Spec, *methods: Method) -> str:
    """Return the command that runs methods with all their seeds."""
    return shlex.join(
        [
            'python',
            'tools/sweep.py',
            spec.path,
            '--only',
            *('/'.join(filter(None, [method.pair, method.name])) for method in methods),
        ]
    )


def report_command(spec: Spec, out: str) -> str:
    """Return the command that generates the report from the results."""
    return shlex.join(
        ['python', 'tools/sweep.py', spec.path, '--out', out, '--report-only']
    )


def _difference(line: Line, other: Line) -> str:
    if line is other or not line.records.keys() & other.records.keys():
        return ''
    difference = paired_difference(line.values(), other.values())
    text = f'{difference.mean:+.2f}'
    if not math.isnan(difference.margin):
        text += f' [{difference.low:+.2f}, {difference.high:+.2f}]'
    return f'**{text}**' if difference.clear_of_zero else text
