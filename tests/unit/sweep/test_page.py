# Copyright (c) mmdckd contributors. All rights reserved.
import re
from types import SimpleNamespace

from helpers.sweeps import record
from mmdckd.sweep.page import Chapter, to_page
from mmdckd.sweep.results import Results
from mmdckd.sweep.spec import Method, Recipe, Spec

TOP1 = 'accuracy/top1'


def chapter(name, *records, pairs=('',), names=('kd', 'dckd')):
    methods = [
        Method(each, pair, Recipe(('c.py',), ()), None, 'mean', '')
        for pair in pairs
        for each in names
    ]
    spec = Spec(
        f'{name}.yaml',
        name,
        f'About {name}.',
        TOP1,
        (0, 1),
        ('kd',),
        {},
        pairs,
        tuple(methods),
        executor={},
    )
    entries = [
        SimpleNamespace(
            role='method',
            pair=method.pair,
            name=method.name,
            seed=seed,
            key=('method', method.pair, method.name, seed),
            run=SimpleNamespace(fingerprint='0' * 16),
        )
        for method in methods
        for seed in spec.seeds
    ]
    results = Results('there/is/none.jsonl')
    results.records = list(records)
    return Chapter(
        spec,
        entries,
        results,
        f'docs/results/{name}',
        f'results/{name}',
        [('by method', 'accuracy.png')],
    )


def test_the_page_has_a_chapter_for_each_sweep():
    text = to_page(
        [chapter('one', record('kd', 0, {TOP1: 70.0})), chapter('two')],
        'docs/reference/benchmark.md',
        'docs/results',
    )
    assert re.findall('^#.*', text, re.M) == ['# What was measured', '## one', '## two']
    assert (
        '    python tools/sweep.py one.yaml two.yaml --page '
        'docs/reference/benchmark.md --out docs/results\n'
    ) in text
    one, two = text.split('## one')[1].split('## two')
    assert '![by method](results/one/accuracy.png)' in one
    assert '[results.jsonl](results/one/results.jsonl)' in one
    assert 'python tools/sweep.py one.yaml --out docs/results/one' in one


def test_what_is_not_run_yet_is_said():
    text = to_page(
        [chapter('one', record('kd', 0, {TOP1: 70.0})), chapter('two')],
        'docs/reference/benchmark.md',
        'docs/results',
    )
    one, two = text.split('## one')[1].split('## two')
    assert '| kd | 1 | 1 of 2 | 70.00 |' in one
    assert 'Not run yet: `python tools/sweep.py one.yaml --only dckd`' in one
    assert two.strip() == (
        'About two.\n\nNot run yet: `python tools/sweep.py two.yaml --only kd dckd`'
    )


def test_many_that_are_not_run_yet_are_counted():
    small, large = 'small data', 'large data'
    names = ['kd', *(f'dckd x{times}' for times in range(8))]
    ran = [dict(record('kd', 0, {TOP1: 70.0}), pair=small)]
    text = to_page(
        [chapter('map', *ran, pairs=(small, large), names=names)],
        'docs/reference/benchmark.md',
        'docs/results',
    )
    assert (
        'Methods that have not run yet: 8 of 9 for small data, 9 of 9 for large data. '
        '`python tools/sweep.py map.yaml` runs them.'
    ) in text
    assert 'dckd x3' not in text
    alone = to_page([chapter('map', names=range(13))], 'page.md', 'results')
    assert 'Methods that have not run yet: 13 of 13. `python' in alone
