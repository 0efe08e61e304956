# Copyright (c) mmdckd contributors. All rights reserved.
import json
from types import SimpleNamespace

import pytest
import torch
from cohort_runs import run_config
from mmengine.runner import Runner
from poison import Poison
from tiny import distil, network

from mmdckd.engine.hooks import SaveOnNonFiniteHook


def start(cfg, spoilt, steps=()):
    """A runner, one of whose students will see nothing in some steps."""
    runner = Runner.from_cfg(cfg)
    Poison(runner.model.cohort.students[spoilt], steps)
    return runner


def config(tmp_path, **cohort):
    cfg = run_config(
        tmp_path,
        dict(architecture=network(), num_students=3, **cohort),
        custom_hooks=[dict(type='mmdckd.SaveOnNonFiniteHook')])
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    return cfg


def scalars(runner):
    path, = (runner.visualizer._vis_backends.values())
    with open(path._scalar_save_file) as file:
        return [json.loads(line) for line in file]


def test_the_state_before_the_iteration_is_saved(tmp_path):
    cfg = config(tmp_path)
    runner = start(cfg, 'student2', {5})
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    path = f'{runner.work_dir}/stopped_at_iter_5.pth'
    assert 'in iteration 6 (epoch 2): the loss of student2' in str(error.value)
    assert f'{path} has the state before' in str(error.value)
    # The digits are in no files.
    assert 'sample ' in str(error.value)

    saved = torch.load(path, weights_only=True)
    assert saved['meta']['iter'] == 5 and saved['meta']['epoch'] == 1
    weights = saved['state_dict']
    assert all(value.isfinite().all() for value in weights.values())
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    # Five iterations have been made, and not a sixth.
    name = 'architecture.students.student2.backbone.bn1.num_batches_tracked'
    assert weights[name] == 5
    assert len(saved['optimizer']['state'])

    cfg.update(load_from=path, resume=True)
    resumed = start(cfg, 'student2')
    resumed.train()
    assert resumed.epoch == 2


def test_a_frozen_student_is_left_out_to_the_end(tmp_path):
    cfg = config(tmp_path, on_nonfinite='freeze_student')
    runner = start(cfg, 'student0', {2})
    runner.train()
    logged = scalars(runner)
    iterations = [r for r in logged if 'lr' in r]
    assert len(iterations) == 8
    for i, record in enumerate(iterations):
        assert ('student.student0.loss' in record) == (i < 2)
        assert 'student.student1.loss' in record
    for record in logged:
        if 'lr' not in record:
            assert 'student0/accuracy/top1' not in record
            assert record['best/accuracy/top1'] == max(
                record[f'student{i}/accuracy/top1'] for i in (1, 2))
    assert runner.message_hub.get_info('best_student') != 'student0'

    cfg.update(
        load_from=f'{runner.work_dir}/epoch_1.pth',
        resume=True,
        experiment_name='resumed',
        work_dir=str(tmp_path / 'resumed'))
    resumed = start(cfg, 'student0')
    resumed.train()
    assert resumed.model.cohort.frozen == ['student0']
    saved = torch.load(f'{runner.work_dir}/epoch_1.pth', weights_only=True)
    for key, value in resumed.model.state_dict().items():
        if 'students.student0.' in key:
            assert torch.equal(value, saved['state_dict'][key]), key
    assert not any('student.student0.loss' in r for r in scalars(resumed))


def test_processes_that_would_wait_for_a_frozen_student_are_refused():

    class Wrapper(torch.nn.parallel.DistributedDataParallel):

        def __init__(self, module, find_unused_parameters):
            torch.nn.Module.__init__(self)
            self.module = module
            self.find_unused_parameters = find_unused_parameters

    model = distil(num_students=3, on_nonfinite='freeze_student')
    hook = SaveOnNonFiniteHook()
    hook.before_train(SimpleNamespace(model=Wrapper(model, True)))
    with pytest.raises(ValueError, match='`find_unused_parameters=True`'):
        hook.before_train(SimpleNamespace(model=Wrapper(model, False)))
    hook.before_train(SimpleNamespace(model=model))
