# Copyright (c) mmdckd contributors. All rights reserved.
from types import SimpleNamespace

import pytest

from helpers.sweeps import record
from mmdckd.sweep.lines import make_lines
from mmdckd.sweep.report import to_markdown
from mmdckd.sweep.results import Results
from mmdckd.sweep.spec import Method, Recipe, Spec

TOP1 = 'accuracy/top1'


def method(name, pair='', figure='mean', group=''):
    return Method(name, pair, Recipe(('c.py',), ()), None, figure, group)


def make_spec(*methods, compare_with=('kd',), pairs=('',), seeds=(0, 1, 2)):
    return Spec(
        'a spec.yaml',
        'tiny',
        'About it.',
        TOP1,
        seeds,
        compare_with,
        {},
        pairs,
        methods,
        executor={},
    )


def entries_of(spec):
    return [
        SimpleNamespace(
            role='method',
            pair=m.pair,
            name=m.name,
            seed=seed,
            key=('method', m.pair, m.name, seed),
            run=SimpleNamespace(fingerprint='0' * 16),
        )
        for m in spec.methods
        for seed in spec.seeds
    ]


def results_of(*records):
    results = Results('there/is/none.jsonl')
    results.records = list(records)
    return results


def cohort(name, seed, first, second, ensemble, **changes):
    return record(
        name,
        seed,
        {
            'student0/accuracy/top1': first,
            'student1/accuracy/top1': second,
            'best/accuracy/top1': max(first, second),
            'ensemble/accuracy/top1': ensemble,
        },
        ['student0', 'student1'],
        **changes,
    )


def report(spec, *records, **kwargs):
    return to_markdown(
        spec,
        entries_of(spec),
        results_of(*records),
        'docs/tiny',
        kwargs.get('plots', []),
    )


def cells(text, name, table=0):
    """The row of a method."""
    rows = [line for line in text.splitlines() if line.startswith(f'| {name}')]
    return [cell.strip() for cell in rows[table].split('|')[1:-1]]


KD = [record('kd', seed, {TOP1: 70.0 + seed}) for seed in range(3)]
DCKD = [
    cohort('dckd', 0, 71.0, 73.0, 75.0),
    cohort('dckd', 1, 72.0, 74.0, 75.0),
    cohort('dckd', 2, 75.0, 74.0, 76.0),
]


def test_a_table_of_figures_differences_and_commands():
    text = report(make_spec(method('kd'), method('dckd')), *KD, *DCKD)
    # kd: 70, 71, 72. dckd: 72, 73, 74.5, differences 2, 2, 2.5: mean 13/6,
    # deviation sqrt(1/12), half an interval 4.302653 * sqrt(1/12) / sqrt(3).
    assert cells(text, 'kd') == ['kd', '1', '3', '71.00 ± 1.00']
    assert cells(text, 'dckd') == ['dckd', '2', '3', '73.17 ± 1.26']
    assert cells(text, 'kd', 1) == ['kd', '']
    assert cells(text, 'dckd', 1) == ['dckd', '**+2.17 [+1.45, +2.88]**']
    assert cells(text, 'kd', 2) == [
        'kd',
        '71.00 ± 1.00',
        '',
        '',
        '71.00 ± 1.00 (1)',
        '1,000',
        '2',
        '10',
    ]
    assert cells(text, 'dckd', 2)[:4] == [
        'dckd',
        '72.67 ± 2.08',
        '74.00 ± 1.00',
        '75.33 ± 0.58',
    ]
    assert text.startswith('# tiny\n\nAbout it.\n\n')
    assert "\n    python tools/sweep.py 'a spec.yaml' --only METHOD\n" in text
    assert "python tools/sweep.py 'a spec.yaml' --out docs/tiny --report-only" in text
    assert 'torch 2.13.0' in text and 'Outdated' not in text
    assert 'same images' not in text and 'resumed' not in text


def test_a_difference_that_is_not_clear_is_not_bold():
    worse = [record('dckd', seed, {TOP1: 71.0}) for seed in range(3)]
    text = report(make_spec(method('kd'), method('dckd')), *KD, *worse)
    assert cells(text, 'dckd', 1)[1] == '+0.00 [-2.48, +2.48]'


def test_the_difference_of_one_seed_has_no_interval():
    text = report(make_spec(method('kd'), method('dckd')), *KD, DCKD[1])
    assert cells(text, 'dckd')[2:] == ['1 of 3', '73.00']
    assert cells(text, 'dckd', 1)[1] == '+2.00'


def test_methods_without_a_common_seed_are_not_compared():
    text = report(make_spec(method('kd'), method('dckd')), KD[0], DCKD[1])
    assert cells(text, 'dckd', 1)[1] == ''


@pytest.mark.parametrize(
    'figure, values',
    [('first', '72.67 ± 2.08'), ('best', '74.00 ± 1.00'), ('ensemble', '75.33 ± 0.58')],
)
def test_another_figure_can_count(figure, values):
    spec = make_spec(method('kd'), method('dckd', figure=figure))
    assert cells(report(spec, *KD, *DCKD), 'dckd')[3] == values


def test_which_figure_counts_is_said_where_they_differ():
    spec = make_spec(method('kd'), method('dckd'), method('pairs', figure='ensemble'))
    others = [{**r, 'name': 'pairs'} for r in DCKD]
    text = report(spec, *KD, *DCKD, *others)
    assert cells(text, 'dckd')[1] == '2, mean'
    assert cells(text, 'pairs')[1] == '2, ensemble'
    assert cells(text, 'kd')[1] == '1'


def test_every_pair_has_its_table():
    spec = make_spec(
        method('kd', 'a'), method('kd', 'b'), pairs=('a', 'b'), seeds=(0, 1)
    )
    text = report(
        spec,
        record('kd', 0, {TOP1: 70.0}, pair='a'),
        record('kd', 0, {TOP1: 80.0}, pair='b'),
    )
    first, second = text.split('## a')[1].split('## b')
    assert '70.00' in first and '80.00' in second
    assert '--only PAIR/METHOD' in text


def test_a_method_without_results_has_no_line():
    text = report(make_spec(method('kd'), method('dckd')), *KD)
    assert '| dckd' not in text


def test_results_of_a_former_config_are_marked():
    former = [{**r, 'fingerprint': 'former'} for r in DCKD]
    spec = make_spec(method('kd'), method('dckd'))
    text = report(spec, *KD, *former)
    assert cells(text, 'dckd (outdated)')[3] == '73.17 ± 1.26'
    assert text.count('| dckd (outdated) |') == 3  # in each table
    assert 'Outdated: ' in text
    # Each line has those of one config.
    older = [{**r, 'fingerprint': 'older'} for r in DCKD]
    line = make_lines(spec, entries_of(spec), results_of(*older, former[1]))[0]
    assert line.outdated and line.values() == {1: 73.0}
    # They are not mixed with those of the present one.
    line = make_lines(spec, entries_of(spec), results_of(*former, DCKD[1]))[0]
    assert not line.outdated and line.values() == {1: 73.0}


def test_results_of_another_metric_do_not_count():
    others = [record('dckd', 0, {'f1': 9.0}), record('dckd', 1, {'f1': 9.0})]
    text = report(make_spec(method('kd'), method('dckd')), *KD, *others)
    assert cells(text, 'kd')[3] == '71.00 ± 1.00'
    assert '| dckd' not in text and '--only dckd`' in text


def test_what_the_reader_must_know_is_said():
    text = report(
        make_spec(method('kd')),
        record('kd', 0, {TOP1: 1.0}, test_is_val=True),
        record('kd', 1, {TOP1: 1.0}, resumed=True, train_seconds=None),
    )
    assert 'chosen on the test images' in text
    assert '1 of the runs were interrupted and resumed' in text
    assert cells(text, 'kd', 2)[-1] == ''


def test_runs_without_validation_have_no_best_epoch():
    text = report(make_spec(method('kd')), record('kd', 0, {TOP1: 1.0}, best=None))
    assert cells(text, 'kd', 2)[4] == ''


def test_the_best_epoch_has_a_result_of_its_own():
    best = dict(epoch=7, val={}, test={TOP1: 80.0})
    text = report(make_spec(method('kd')), record('kd', 0, {TOP1: 1.0}, best=best))
    assert cells(text, 'kd', 2)[1:5:3] == ['1.00', '80.00 (7)']


def test_the_teachers_are_shown_after_their_last_epoch():
    spec, key = make_spec(method('kd')), ('teacher', '', 'tim', 4)
    run = SimpleNamespace(fingerprint='0' * 16)
    teacher = SimpleNamespace(role='teacher', name='tim', seed=4, key=key, run=run)
    best = dict(epoch=1, val={}, test={TOP1: 95.0})
    own = record('tim', 4, {TOP1: 90.0}, role='teacher', best=best)
    entries = [teacher, *entries_of(spec)]
    text = to_markdown(spec, entries, results_of(own, *KD), 'docs/tiny', [])
    assert (
        'The teachers, after their last epoch: tim, seed 4: 90.00 (1,000 parameters).'
    ) in text


def test_a_seed_without_a_best_epoch_does_not_count_for_it():
    text = report(
        make_spec(method('kd')),
        record('kd', 0, {TOP1: 1.0}),
        record('kd', 1, {TOP1: 9.0}, best=None),
    )
    assert cells(text, 'kd', 2)[4] == '1.00 (1)'


def test_plots_are_shown():
    text = report(make_spec(method('kd')), *KD, plots=[('by method', 'accuracy.png')])
    assert '![by method](accuracy.png)' in text


def test_a_name_is_shown_as_it_is():
    """Whatever it means to Markdown."""
    spec = make_spec(method('a|b'), method('<i>_x_'), compare_with=('a|b',))
    records = [record(m.name, 0, {TOP1: 70.0}) for m in spec.methods]
    text = report(spec, *records, plots=[('a|b [c]', 'a b.png')])
    rows = [line for line in text.splitlines() if line.startswith(r'| a\|b')]
    assert len(rows) == 3
    assert text.count(r'| \<i>\_x\_ |') == 3
    assert r'| Method | − a\|b |' in text
    assert r'![a\|b \[c\]](a%20b.png)' in text
    assert '| kd_x4 |' in report(
        make_spec(method('kd_x4')), record('kd_x4', 0, {TOP1: 1.0})
    )
