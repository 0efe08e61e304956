# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs in two processes, with the hooks and loops of a cohort."""

import pytest
import torch

from helpers.networks import network
from helpers.processes import run_processes
from helpers.runs import run_config, train

STUDENTS = ['student0', 'student1']


def config(work_dir, epochs=1, **kwargs):
    """Batches of 32 images, however many processes share them."""
    architecture = network()
    architecture['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
    cfg = run_config(
        work_dir,
        dict(architecture=architecture, num_students=2),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        **kwargs,
    )
    cfg.work_dir = str(work_dir)
    # The odd one is left to one of two processes.
    cfg.val_dataloader.dataset.indices = 99
    return cfg


def run(rank, number, cfg):
    """Train; tell what was validated and what the weights are."""
    if number > 1:
        cfg.launcher = 'pytorch'
        cfg.train_dataloader.batch_size //= number
    runner = train(cfg)
    scalars = runner.message_hub.log_scalars
    model = runner.model.module if number > 1 else runner.model
    return dict(
        epoch=runner.epoch,
        best=runner.message_hub.get_info('best_student'),
        metrics={
            key: scalars[key].current()
            for key in scalars
            if key.startswith('val/') and 'time' not in key
        },
        weights={key: weight.numpy() for key, weight in model.state_dict().items()},
    )


def differences(one, other):
    assert one['weights'].keys() == other['weights'].keys()
    return [
        abs(weight - other['weights'][key]).max()
        for key, weight in one['weights'].items()
    ]


def test_two_processes_train_as_one(tmp_path):
    one = run(0, 1, config(tmp_path / 'one'))
    first, second = run_processes(run, 2, config(tmp_path / 'two'))
    assert max(differences(first, second)) == 0
    assert first['metrics'] == second['metrics']
    assert first['best'] == second['best']
    # Four steps on the same batches.
    assert max(differences(one, first)) < 1e-4
    for key, value in one['metrics'].items():
        assert first['metrics'][key] == pytest.approx(value, abs=1.1), key


@pytest.mark.slow
def test_checkpoints_of_two_processes_are_those_of_one(tmp_path):
    two_then_one, one_then_two = tmp_path / 'two', tmp_path / 'one'
    first, _ = run_processes(run, 2, config(two_then_one))
    alone = run(0, 1, config(one_then_two))
    a, b = (
        torch.load(folder / 'epoch_1.pth', weights_only=True)
        for folder in (two_then_one, one_then_two)
    )
    assert a['state_dict'].keys() == b['state_dict'].keys()
    assert {'state_dict', 'optimizer', 'message_hub', 'meta'} <= {*a} == {*b}
    for key, weight in first['weights'].items():
        assert torch.equal(a['state_dict'][key], torch.from_numpy(weight))

    again = run(0, 1, config(two_then_one, 2, resume=True))
    both = run_processes(run, 2, config(one_then_two, 2, resume=True))
    assert again['epoch'] == both[0]['epoch'] == 2
    assert max(differences(again, first)) > 0
    assert max(differences(both[0], alone)) > 0
    assert max(differences(again, both[0])) < 1e-3


def test_hooks_and_loops(tmp_path):
    cfg = config(
        tmp_path,
        custom_hooks=[
            dict(type='mmdckd.CohortSummaryHook'),
            dict(type='mmdckd.CheckLabelsHook'),
            dict(type='mmdckd.ExportStudentHook'),
            dict(type='mmpretrain.EMAHook', evaluate_on_origin=True),
        ],
        optim_wrapper=dict(
            type='OptimWrapper',
            constructor='mmdckd.ClipEachStudentConstructor',
            optimizer=dict(type='SGD', lr=0.05),
            clip_grad=dict(max_norm=1.0),
        ),
    )
    first, second = run_processes(run_hooks, cfg)
    assert first == second
    names = [*STUDENTS, 'ensemble', 'best']
    assert {f'val/{name}/accuracy/top1' for name in names} <= {*first}
    assert {f'val/{name}/accuracy/top1_origin' for name in names} <= {*first}
    assert {f'train/grad_norm.{name}' for name in STUDENTS} <= {*first}
    logs = [path.read_text() for path in tmp_path.glob('*/*.log')]
    assert len(logs) == 1
    assert logs[0].count('The cohort, for images of 3 x 12 x 12') == 1
    assert len(list((tmp_path / 'exported').glob('student?.pth'))) == 1


def run_hooks(rank, cfg):
    cfg.launcher = 'pytorch'
    scalars = train(cfg).message_hub.log_scalars
    return {
        key: buffer.current()
        for key, buffer in scalars.items()
        if key.startswith(('val/', 'train/grad_norm')) and 'time' not in key
    }
