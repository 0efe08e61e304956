# Copyright (c) mmdckd contributors. All rights reserved.
"""Paired differences of two methods, against scipy's paired test."""

import json

import numpy as np
import pytest
from scipy.stats import ttest_rel

from studies.evidence import differences

SEEDS = range(8, 16)


def top1(name):
    return f'{name}/accuracy/top1'


@pytest.fixture
def results(tmp_path):
    """Write runs of a single student and of a cohort of two."""
    path = tmp_path / 'results.jsonl'
    values = np.random.default_rng(0).normal(70, 1, (2, 3, len(SEEDS)))

    def record(name, pair, seed, *students):
        epochs = {
            epoch: {
                'test': {
                    top1(f'student{each}'): values[index, student, seed - 8]
                    for each, student in enumerate(students)
                }
            }
            for index, epoch in enumerate(['last', 'best'])
        }
        names = [f'student{each}' for each in range(len(students))]
        known = dict(role='method', pair=pair, name=name, seed=seed, students=names)
        return json.dumps({**known, 'fingerprint': name, **epochs})

    lines = [record('one', 'a', seed, 0) for seed in SEEDS]
    lines += [record('two', 'a', seed, 1, 2) for seed in reversed(SEEDS)]
    lines += [record('two', 'b', 8, 0, 0)]
    # A teacher may have the name of a method.
    teacher = dict(json.loads(record('one', 'a', 8, 2)), role='teacher')
    lines += [json.dumps(teacher)]
    path.write_text('\n'.join(lines) + '\n')
    return str(path), values


def test_it_is_the_interval_of_a_paired_test(results, capsys):
    path, values = results
    differences.main([path, 'a', 'two', 'one', '--level', '0.9833'])
    shown = capsys.readouterr().out.splitlines()[2:]
    assert len(shown) == 2
    for row, (one, *two) in zip(shown, values):
        ours = np.mean(two, axis=0)
        ends = ttest_rel(ours, one).confidence_interval(0.9833)
        mean = (ours - one).mean()
        assert f'{mean:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}]' in row
        assert f'{ours.mean():.2f} ± {ours.std(ddof=1):.2f}' in row
        assert ', '.join(f'{each:+.2f}' for each in ours - one) in row


def test_a_seed_of_one_method_only_is_refused(results, capsys):
    path, _ = results
    with pytest.raises(SystemExit):
        differences.main([path, 'b', 'two', 'one'])
    assert 'expected the same seeds of both methods' in capsys.readouterr().err


@pytest.mark.parametrize('again', [[8], [*SEEDS][:4]])
def test_runs_of_several_configs_are_refused(results, capsys, again):
    path, _ = results
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    changed = [
        {**line, 'fingerprint': 'new'}
        for line in lines
        if line['name'] == 'one' and line['seed'] in again
    ]
    with open(path, 'w') as file:
        # Beside the former runs of these seeds, or in their place.
        for line in [*(lines if len(again) == 1 else lines[len(again) :]), *changed]:
            file.write(json.dumps(line) + '\n')
    with pytest.raises(SystemExit):
        differences.main([path, 'a', 'two', 'one'])
    assert 'expected runs of one config of one' in capsys.readouterr().err


def test_a_teacher_for_each_seed_is_no_other_config(results, capsys):
    path, _ = results
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    with open(path, 'w') as file:
        for line in lines:
            line['fingerprint'] = f'{line["name"]}{line["seed"]}'
            file.write(json.dumps(line) + '\n')
    differences.main([path, 'a', 'two', 'one'])
    assert len(capsys.readouterr().out.splitlines()) == 4
