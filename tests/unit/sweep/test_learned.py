# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from helpers.sweeps import curves, record
from mmdckd.sweep.learned import STATISTICS, curve, learned_tables
from mmdckd.sweep.lines import Line
from mmdckd.sweep.spec import Method, Recipe

TOP1 = 'accuracy/top1'
PAIR = ['student0', 'student1']


def make_line(*records, figure='mean', name='dckd'):
    return Line(
        Method(name, '', Recipe(('c.py',), ()), None, figure, ''),
        TOP1,
        dict(enumerate(records)),
    )


def run(seed=0, students=PAIR, val=(), **changes):
    return record(
        'dckd',
        seed,
        {},
        students,
        last=dict(epoch=2, val=dict(val), test={}),
        **changes,
    )


def cells(text, name):
    """What the tables have of a method, by the title of the column."""
    found = {}
    for block in text.split('\n\n'):
        rows = [line.split('|')[1:-1] for line in block.splitlines() if '|' in line]
        for named in [row for row in rows if row[0].strip() == name]:
            found |= {a.strip(): b.strip() for a, b in zip(rows[0], named)}
    return found


def test_the_tables_hold_what_counts_of_a_cohort():
    vals = [
        {
            'student0/nll': 1.0 + seed,
            'student1/nll': 2.0 + seed,
            'ensemble/nll': 0.5,
            'target/soft_entropy': 3.0,
            'cohort/agreement': 0.75,
        }
        for seed in range(2)
    ]
    records = [run(seed, val=val) for seed, val in enumerate(vals)]
    text = learned_tables(
        [make_line(*records), make_line(*records, figure='ensemble', name='E')]
    )
    row = cells(text, 'dckd')
    assert row.pop('NLL') == '2.000 ± 0.707'
    assert row.pop('Soft entropy of the target') == '3.000 ± 0.000'
    assert row.pop('Agreement of two students') == '0.750 ± 0.000'
    assert set(row) == {'Method', *STATISTICS} - {
        'NLL',
        'Soft entropy of the target',
        'Agreement of two students',
    }
    assert set(row.values()) == {'dckd', ''}
    assert cells(text, 'E')['NLL'] == '0.500 ± 0.000'


def test_figures_that_statistics_have():
    val = {'student0/ece': 0.25, 'student1/ece': 0.75}
    for figure, value in dict(mean=0.5, first=0.25, best=0.5).items():
        text = learned_tables([make_line(run(val=val), figure=figure)])
        assert cells(text, 'dckd')['ECE'] == f'{value:.3f}'
    # A network that is trained alone has no prefix.
    text = learned_tables([make_line(run(students=[], val=dict(ece=0.125)))])
    assert cells(text, 'dckd')['ECE'] == '0.125'


def test_without_statistics_there_is_no_table():
    line = make_line(run(val={f'{name}/{TOP1}': 70.0 for name in PAIR}))
    assert learned_tables([line]) == ''


def test_a_curve_is_the_mean_of_the_seeds_that_have_it():
    line = make_line(
        run(0, curves=curves([2, 4], student0__nll=[3, 1], student1__nll=[1, 1])),
        run(1, curves=curves([2, 4], student0__nll=[4, None], student1__nll=[4, None])),
        # Of a former version.
        run(2),
    )
    assert curve(line, 'nll') == {2: 3.0, 4: 1.0}
    assert curve(line, 'ece') == {}


def test_all_that_is_recorded_of_knowledge_is_shown():
    """The names are those that the hook publishes."""
    import torch

    from mmdckd.evaluation import CohortSums

    sums = CohortSums(PAIR, ['teacher'])
    labels = torch.arange(6) % 3
    scores = torch.rand(3, 6, 3).softmax(-1)
    scores[0] = torch.eye(3)[labels]
    scores[0, 0] = torch.tensor([0.0, 1.0, 0.0])
    sums.add(dict(zip(['teacher', *PAIR], scores)), labels)
    sums.add_target('target', scores[1:].log(), labels)
    sums.reduce()
    text = learned_tables([make_line(run(val=sums.scalars()))])
    assert '' not in cells(text, 'dckd').values()
    assert float(cells(text, 'dckd')['Agreement of two students']) == (
        pytest.approx(sums.scalars()['cohort/agreement'], abs=6e-4)
    )
