# Copyright (c) mmdckd contributors. All rights reserved.
import csv
import io
import json
from types import SimpleNamespace

import pytest

from helpers.sweeps import curves, record
from mmdckd.sweep.results import Results, figure_of, to_csv

TOP1 = 'accuracy/top1'
SPEC = SimpleNamespace(name='tiny', metric=TOP1)
COHORT = {
    'student0/accuracy/top1': 90.0,
    'student1/accuracy/top1': 93.0,
    'best/accuracy/top1': 93.0,
    'ensemble/accuracy/top1': 95.0,
    'teacher/accuracy/top1': 97.0,
}


def entry(name, seed, fingerprint='0' * 16, keep_curves=True, **run):
    return SimpleNamespace(
        key=('method', '', name, seed),
        keep_curves=keep_curves,
        run=SimpleNamespace(fingerprint=fingerprint, **run),
    )


def write(path, *records, end='\n'):
    path.write_text('\n'.join(map(json.dumps, records)) + end)


def keep(path, number, record):
    """Leave the result of a run, and say where."""
    result_file = path / f'result{number}.json'
    for key in ('benchmark', 'role', 'pair', 'name', 'seed', 'fingerprint'):
        del record[key]
    result_file.write_text(json.dumps(record))
    return str(result_file)


@pytest.mark.parametrize(
    'figure, value',
    [('mean', 91.5), ('first', 90.0), ('best', 93.0), ('ensemble', 95.0)],
)
def test_figures_of_a_cohort(figure, value):
    two = record('dckd', 0, COHORT, ['student0', 'student1'])
    assert figure_of(two, COHORT, TOP1, figure) == value


@pytest.mark.parametrize('figure', ['mean', 'first', 'best', 'ensemble'])
def test_figures_of_one_are_the_same(figure):
    one = record('kd', 0, {}, ['student0'])
    assert figure_of(one, {'student0/accuracy/top1': 9.0}, TOP1, figure) == 9
    plain = record('plain', 0, {})
    assert figure_of(plain, {TOP1: 8.0}, TOP1, figure) == 8


def test_an_unknown_metric_is_named():
    one = record('kd', 0, {}, ['student0'])
    with pytest.raises(ValueError, match='student0/acc.*student0/accuracy/top9'):
        figure_of(one, COHORT, 'accuracy/top9', 'mean')


def test_the_last_record_of_the_same_config_counts(tmp_path):
    path = tmp_path / 'results.jsonl'
    write(
        path,
        record('kd', 0, {TOP1: 1.0}),
        record('kd', 0, {TOP1: 2.0}),
        record('kd', 1, {TOP1: 3.0}),
        record('kd', 0, {TOP1: 4.0}, fingerprint='former'),
    )
    results = Results(str(path))
    assert results.find(entry('kd', 0))['last']['test'][TOP1] == 2
    assert results.find(entry('kd', 0, 'new')) is None
    assert results.find_outdated(entry('kd', 0, 'new'))['fingerprint'] == ('former')
    assert results.find_outdated(entry('dml', 0)) is None


def test_curves_that_are_not_drawn_are_not_kept(tmp_path):
    results = Results(str(tmp_path / 'results.jsonl'))
    for seed, kept in enumerate([True, False]):
        line = record('kd', seed, {TOP1: 1.0}, curves=curves([2], nll=[3.0]))
        results.add(
            SPEC,
            entry('kd', seed, keep_curves=kept, result_file=keep(tmp_path, seed, line)),
        )
    assert [line['curves'] for line in Results(results.path).records] == [
        dict(epoch=[2], nll=[3.0]),
        None,
    ]


def test_curves_that_are_too_long_for_a_line_are_not_kept(tmp_path):
    """The file could not be read again."""
    long = curves(range(50_000), **{f'metric{i}': [1.2345] * 50_000 for i in range(3)})
    results = Results(str(tmp_path / 'results.jsonl'))
    line = record('kd', 0, {TOP1: 1.0}, curves=long)
    results.add(SPEC, entry('kd', 0, result_file=keep(tmp_path, 0, line)))
    (read,) = Results(results.path).records
    assert read == results.records[0] and read['curves'] is None


def test_a_half_written_line_is_no_line(tmp_path):
    path = tmp_path / 'results.jsonl'
    write(path, record('kd', 0, {TOP1: 1.0}), record('kd', 1, {TOP1: 2.0}))
    path.write_bytes(path.read_bytes()[:-9])
    results = Results(str(path))
    assert results.find(entry('kd', 1)) is None
    assert results.find(entry('kd', 0)) is not None

    result_file = keep(tmp_path, 1, record('kd', 1, {TOP1: 2.0}))
    results.add(SPEC, entry('kd', 1, result_file=result_file))
    again = Results(str(path))
    assert (
        again.records
        == results.records
        == [record('kd', 0, {TOP1: 1.0}), record('kd', 1, {TOP1: 2.0})]
    )


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / 'results.jsonl'
    write(path, record('kd', 0, {TOP1: 1.0}))
    path.write_text(path.read_text() + '{"a":\n{}\n')
    with pytest.raises(ValueError, match='line 2 of .*expected JSON'):
        Results(str(path))


def test_a_result_without_the_metric_is_not_added(tmp_path):
    result_file = keep(tmp_path, 0, record('kd', 0, {'f1': 2.0}))
    results = Results(str(tmp_path / 'results.jsonl'))
    with pytest.raises(ValueError, match="one of \\['f1'\\]"):
        results.add(SPEC, entry('kd', 0, result_file=result_file))
    assert results.records == [] and not (tmp_path / 'results.jsonl').exists()


def test_csv_has_a_row_a_run(tmp_path):
    records = [
        record('dckd', 0, COHORT, ['student0', 'student1']),
        record('plain', 1, {TOP1: 80.0}, best=None, train_seconds=None),
    ]
    rows = list(csv.DictReader(io.StringIO(to_csv(records, TOP1))))
    assert [row['name'] for row in rows] == ['dckd', 'plain']
    assert rows[0]['students'] == '2' and rows[1]['students'] == '1'
    assert rows[0]['last_test_mean'] == '91.5'
    assert rows[0]['best_val_ensemble'] == '95.0'
    assert rows[0]['best_epoch'] == '1'
    assert rows[1]['last_test_mean'] == '80.0'
    assert rows[1]['best_test_mean'] == rows[1]['train_seconds'] == ''


def test_csv_leaves_out_figures_of_another_metric():
    """A sweep whose metric has changed keeps the lines of earlier runs."""
    records = [
        record('dckd', 0, COHORT, ['student0', 'student1']),
        record('dckd', 1, {'student0/f1': 9.0}, ['student0', 'student1']),
        record('plain', 0, {TOP1: 8.0}, last=dict(epoch=2, val={}, test={TOP1: 8.0})),
    ]
    rows = list(csv.DictReader(io.StringIO(to_csv(records, TOP1))))
    assert [row['last_test_mean'] for row in rows] == ['91.5', '', '8.0']
    assert [row['last_val_mean'] for row in rows] == ['91.5', '', '']


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(device=None), '`device` is str, got NoneType'),
        (dict(versions='2.13'), '`versions` is dict, got str'),
        (dict(last=dict(epoch=2, val={}, test=None)), '`last`: .* `val` and `test`'),
    ],
)
def test_a_line_that_a_report_cannot_show_is_refused(tmp_path, change, message):
    path = tmp_path / 'results.jsonl'
    write(path, record('kd', 0, {TOP1: 9.0}, **change))
    with pytest.raises(ValueError, match=message):
        Results(str(path))
