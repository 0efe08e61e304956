# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os

import numpy as np
import pytest
import torch

from helpers.cohort_arrays import cohort_arrays
from mmdckd.report.decision import decide
from mmdckd.report.recorded_run import read_run
from mmdckd.report.report import write_report

ENVIRONMENT = """2026/01/01 00:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    PyTorch: 9.9

Runtime environment:
    GPU number: {}
------------------------------------------------------------

2026/01/01 00:00:00 - mmengine - INFO - Config:
"""


#: A config with a rule to choose a student.
CHOSEN = """model = dict(type='A')
train_cfg = dict(max_epochs=9)
default_hooks = dict(checkpoint=dict(save_best='student0/accuracy/top1'))
"""


def record(folder, epochs, time='20260101_000000', gpus=1, offset=0.0):
    """Two iterations an epoch, as MMEngine logs them."""
    vis_data = folder / time / 'vis_data'
    vis_data.mkdir(parents=True)
    lines = []
    for epoch in epochs:
        for i in (2 * epoch - 1, 2 * epoch):
            lines.append(dict(loss=1 / i + offset, time=0.1 * i, iter=i, step=i))
        lines.append(
            {
                'student0/accuracy/top1': 50.0 + epoch + offset,
                'teacher/accuracy/top1': 90.0,
                'step': epoch,
            }
        )
    (vis_data / 'scalars.json').write_text(
        ''.join(json.dumps(line) + '\n' for line in lines)
    )
    (vis_data / 'config.py').write_text(
        "model = dict(type='A')\ntrain_dataloader = dict(batch_size=32)\n"
        'train_cfg = dict(max_epochs=9)\n'
    )
    (folder / time / f'{time}.log').write_text(ENVIRONMENT.format(gpus))
    return vis_data


def test_reads_what_was_logged(tmp_path):
    record(tmp_path / 'run', (1, 2))
    run = read_run(str(tmp_path / 'run'))
    assert run.name == 'run'
    assert [r['iter'] for r in run.training] == [1, 2, 3, 4]
    assert run.curves('accuracy/top1')['student0'] == {1: 51.0, 2: 52.0}
    assert run.students == ['student0']
    assert run.config.train_cfg.max_epochs == 9
    assert run.environment.startswith('System environment:\n    PyTorch: 9.9')
    assert run.environment.endswith('GPU number: 1')
    assert (run.members, run.statistics) == ([], None)


def test_throughput_is_of_all_processes(tmp_path):
    record(tmp_path / 'run', (1, 2), gpus=8)
    run = read_run(str(tmp_path / 'run'), 'mine')
    assert run.name == 'mine'
    assert run.step_seconds == pytest.approx(0.25)
    assert run.images_per_second == pytest.approx(8 * 32 / 0.25)


@pytest.mark.parametrize('gpus, distinct', [(1, 1), (2, 1), (4, 2), (8, 4)])
def test_images_that_several_processes_see_count_once(tmp_path, gpus, distinct):
    vis_data = record(tmp_path, (1, 2), gpus=gpus)
    scalars = vis_data / 'scalars.json'
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    for line in lines:
        if 'iter' not in line:
            line['student1/accuracy/top1'] = 50.0
    scalars.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    config = (vis_data / 'config.py').read_text()
    config = config.replace("type='A'", "type='A', parallel='cohort'")
    (vis_data / 'config.py').write_text(config)
    run = read_run(str(tmp_path))
    assert run.students == ['student0', 'student1']
    assert run.images_per_second == pytest.approx(distinct * 32 / 0.25)


def test_what_was_done_again_counts_as_it_was_done_last(tmp_path):
    record(tmp_path, (1, 2, 3, 4))
    record(tmp_path, (3, 4, 5), '20260101_000001', offset=0.5)
    run = read_run(str(tmp_path))
    assert run.curves('accuracy/top1')['student0'] == {
        1: 51.0,
        2: 52.0,
        3: 53.5,
        4: 54.5,
        5: 55.5,
    }
    assert [r['iter'] for r in run.training] == [*range(1, 11)]
    assert [r['loss'] > 0.5 for r in run.training[4:]] == 6 * [True]


def test_a_run_from_the_start_replaces_one_that_went_further(tmp_path):
    record(tmp_path, (1, 2, 3))
    record(tmp_path, (1, 2), '20260101_000001', offset=0.5)
    assert read_run(str(tmp_path)).curves('accuracy/top1')['student0'] == {
        1: 51.5,
        2: 52.5,
    }


def start_again(folder, lines, config='train_cfg = dict(max_epochs=9)'):
    """Add a log that has no validation yet."""
    vis_data = record(folder, (), '20260101_000001')
    (vis_data / 'config.py').write_text(config)
    (vis_data / 'scalars.json').write_text(
        ''.join(json.dumps(line) + '\n' for line in lines)
    )
    return vis_data


def write_statistics(vis_data, name, step):
    np.savez(vis_data / name, **{**cohort_arrays(), 'step': np.array(step)})


def test_a_run_that_is_started_again_has_no_validation_at_first(tmp_path):
    """Those of the run before it are not results of the new config."""
    before = record(tmp_path, (1, 2))
    write_statistics(before, 'best_statistics.npz', 2)
    write_statistics(before, 'cohort_statistics.npz', 2)
    assert read_run(str(tmp_path)).statistics['step'] == 2
    start_again(tmp_path, [dict(loss=1.0, epoch=1, iter=1, step=1)])
    run = read_run(str(tmp_path))
    assert (run.validation, run.best, run.statistics) == ([], None, None)
    assert [r['iter'] for r in run.training] == [1]


def test_a_run_that_is_resumed_keeps_the_validations_before(tmp_path):
    before = record(tmp_path, (1, 2, 3))
    write_statistics(before, 'cohort_statistics.npz', 3)
    write_statistics(before, 'best_statistics.npz', 2)
    start_again(tmp_path, [dict(loss=1.0, epoch=3, iter=5, step=5)])
    run = read_run(str(tmp_path))
    assert [r['step'] for r in run.validation] == [1, 2]
    assert run.best.step == run.statistics['step'] == 2


def test_statistics_of_a_validation_that_was_done_again_are_not_shown(tmp_path):
    """The run that did it again stores none."""
    write_statistics(record(tmp_path, (1, 2)), 'best_statistics.npz', 2)
    record(tmp_path, (2,), '20260101_000001', offset=0.5)
    run = read_run(str(tmp_path))
    assert run.best.step == 2 and run.statistics is None


def test_a_rate_knows_the_images_behind_it(tmp_path):
    write_statistics(record(tmp_path, (1,)), 'cohort_statistics.npz', 1)
    run = read_run(str(tmp_path))
    teacher = list(run.statistics['members']).index('teacher')
    right = np.trace(run.statistics['confusion'][teacher])
    assert 100 < right < 200
    assert run.images_behind('agreement_right') == right
    assert run.images_behind('agreement_wrong') == 200 - right
    assert run.images_behind('ece') == run.num_images == 200


@pytest.mark.parametrize(
    'other, used',
    [
        ({}, True),
        (dict(epoch=1), False),
        (dict(student='student1'), False),
        (dict(experiment_name='run_20250101_000000'), False),
    ],
)
def test_an_export_of_another_validation_is_not_named(tmp_path, other, used):
    vis_data = record(tmp_path, (1, 2))
    (vis_data / 'config.py').write_text(CHOSEN)
    meta = dict(student='student0', epoch=2, experiment_name='run_20260101_000000')
    exported = tmp_path / 'exported' / 'student0.py'
    exported.parent.mkdir()
    exported.touch()
    content = dict(meta={**meta, **other}, state_dict={})
    torch.save(content, exported.with_suffix('.pth'))
    decision = decide(read_run(str(tmp_path)))
    assert (decision.is_exported, decision.file) == (
        (True, str(exported)) if used else (False, None)
    )


@pytest.mark.parametrize('unit, max_key', [('epoch', 'epochs'), ('iter', 'iters')])
def test_the_weights_of_the_best_validation_are_named(tmp_path, unit, max_key):
    vis_data = record(tmp_path, (1, 2))
    (vis_data / 'config.py').write_text(CHOSEN.replace('epochs', max_key))
    for name in (f'{unit}_1.pth', f'{unit}_2.pth', 'best.pth'):
        (tmp_path / name).touch()
    # `best.pth` may be from another validation: no name says from which.
    assert decide(read_run(str(tmp_path))).file == str(tmp_path / f'{unit}_2.pth')
    (tmp_path / f'best_student0_accuracy_top1_{unit}_2.pth').touch()
    assert decide(read_run(str(tmp_path))).file == str(tmp_path / 'best.pth')


def test_a_run_by_iteration_is_resumed_at_an_iteration(tmp_path):
    record(tmp_path, (1, 2, 3, 4))
    line = dict(loss=1.0, epoch=1, iter=3, step=3)
    start_again(tmp_path, [line], 'train_cfg = dict(max_iters=9)')
    assert [r['step'] for r in read_run(str(tmp_path)).validation] == [1, 2]


def test_a_start_that_has_logged_nothing_changes_nothing(tmp_path):
    record(tmp_path, (1, 2))
    record(tmp_path, (), '20260101_000001')
    assert len(read_run(str(tmp_path)).validation) == 2


def test_a_folder_with_a_pattern_in_its_name(tmp_path):
    record(tmp_path / 'lr[0.1]', (1,))
    assert read_run(str(tmp_path / 'lr[0.1]')).validation


def test_a_run_of_a_folder_of_images_is_in_its_work_folder(tmp_path):
    record(tmp_path / 'flowers' / 'students', (1,))
    run = read_run(str(tmp_path / 'flowers'))
    assert run.name == 'flowers' and run.folder.endswith('students')


def test_a_name_that_is_no_utf_8_is_escaped(tmp_path):
    name = os.fsdecode(b'\xe9t\xe9')
    vis_data = record(tmp_path / name, (1,))
    (tmp_path / name / 'epoch_1.pth').touch()
    (vis_data / 'config.py').write_text(CHOSEN)
    run = read_run(str(tmp_path / name))
    page = open(write_report([run], str(tmp_path / 'out')), encoding='utf-8').read()
    assert '/\\udce9t\\udce9/epoch_1.pth' in page


def test_a_run_without_validation_is_shown(tmp_path):
    vis_data = record(tmp_path, (1,))
    lines = (vis_data / 'scalars.json').read_text().splitlines(True)
    (vis_data / 'scalars.json').write_text(''.join(lines[:2]))
    run = read_run(str(tmp_path))
    assert run.best is None and run.validation == []
    page = open(write_report([run], str(tmp_path / 'out'))).read()
    assert 'No student can be chosen: this run has not been validated' in page


@pytest.mark.parametrize('name', ['phase0', 'teacher'])
def test_a_run_below_a_folder_is_named(tmp_path, name):
    """The first phase, or the teacher of a folder of images, still trains."""
    record(tmp_path / 'two' / name, (1,))
    with pytest.raises(ValueError, match=f"Did you mean '.*two/{name}'"):
        read_run(str(tmp_path / 'two'))


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match='expected the work_dir of a run'):
        read_run(str(tmp_path))
    record(tmp_path, ())
    with pytest.raises(ValueError, match='a run that has logged iterations'):
        read_run(str(tmp_path))
