# Copyright (c) mmdckd contributors. All rights reserved.
import json
import math
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.optim import SGD

from helpers.networks import digits, distil, network
from helpers.runs import run_config
from mmdckd.engine.optimizers import CPUAmpOptimWrapper

#: So large that float16 cannot hold a gradient, and steps are skipped.
TOO_LARGE = 2.0**40


class WatchWeights(Hook):
    """Keeps, for each iteration, whether any weight has moved."""

    def before_train(self, runner):
        self.moved = []

    def _weights(self, runner):
        return torch.cat([p.flatten() for p in runner.model.parameters()])

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = self._weights(runner).clone()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = self._weights(runner)
        self.moved.append(not torch.equal(now, self.before))
        assert now.isfinite().all()
        assert now.dtype == torch.float32


def config(tmp_path, **wrapper):
    cfg = run_config(
        tmp_path,
        dict(architecture=network(), num_students=2),
        custom_hooks=[dict(type='mmdckd.LossScaleHook')],
    )
    cfg.optim_wrapper.update(
        dict(type='mmdckd.CPUAmpOptimWrapper', dtype='float16', **wrapper)
    )
    # float16 is slow on the CPU: four iterations of eight images an epoch.
    cfg.train_dataloader.update(batch_size=8)
    cfg.train_dataloader.dataset.indices = 32
    cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    return cfg


def trained(cfg):
    """A run, and what it has logged of each iteration."""
    runner = Runner.from_cfg(cfg)
    hook = WatchWeights()
    runner.register_hook(hook)
    runner.train()
    (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return runner, [r for r in records if 'lr' in r], hook.moved


def test_skipped_steps_are_counted_and_the_count_is_resumed(tmp_path):
    cfg = config(tmp_path, loss_scale=dict(init_scale=TOO_LARGE))
    runner, logged, moved = trained(cfg)
    assert False in moved
    skipped = 0
    for record, has_moved in zip(logged, moved):
        skipped += not has_moved
        assert record['amp/skipped_steps'] == skipped
        # Halved at each, as PyTorch does by default.
        assert record['amp/scale'] == TOO_LARGE * 0.5**skipped
        assert math.isfinite(record['loss'])
    first = sum(not has_moved for has_moved in moved[:4])
    assert first

    cfg.update(
        load_from=f'{runner.work_dir}/epoch_1.pth',
        resume=True,
        experiment_name='resumed',
        work_dir=str(tmp_path / 'resumed'),
    )
    _, again, moved = trained(cfg)
    assert len(again) == 4
    skipped = first
    for record, has_moved in zip(again, moved):
        skipped += not has_moved
        assert record['amp/skipped_steps'] == skipped
        assert record['amp/scale'] == TOO_LARGE * 0.5**skipped


def test_accumulating_is_not_skipping(tmp_path):
    cfg = config(tmp_path, accumulative_counts=2, loss_scale=dict(init_scale=8.0))
    _, logged, moved = trained(cfg)
    assert moved == [False, True] * 4
    assert all(record['amp/skipped_steps'] == 0 for record in logged)


def test_a_fused_optimizer_skips_by_itself(tmp_path):
    cfg = config(tmp_path, loss_scale=dict(init_scale=TOO_LARGE))
    cfg.optim_wrapper.optimizer.fused = True
    _, logged, moved = trained(cfg)
    assert False in moved
    assert logged[-1]['amp/skipped_steps'] == moved.count(False)


@pytest.mark.parametrize('fused', [False, True])
def test_a_checkpoint_between_two_lines_of_the_log_has_the_count(tmp_path, fused):
    cfg = config(tmp_path, loss_scale=dict(init_scale=TOO_LARGE))
    cfg.optim_wrapper.optimizer.fused = fused
    cfg.default_hooks.logger.interval = 4
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3)
    runner, _, moved = trained(cfg)
    saved = torch.load(f'{runner.work_dir}/iter_3.pth', weights_only=True)
    info = saved['message_hub']['runtime_info']
    assert moved[:3].count(False) > 0
    assert info['amp_skipped_steps'] == moved[:3].count(False)


def test_in_bfloat16_without_a_scaler_there_is_nothing_to_count(tmp_path):
    cfg = config(tmp_path, loss_scale=dict(enabled=False))
    cfg.optim_wrapper.dtype = 'bfloat16'
    _, logged, moved = trained(cfg)
    assert all(moved)
    assert not any('amp' in key for record in logged for key in record)


def test_in_full_precision_there_is_nothing_to_log(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05))
    _, logged, moved = trained(cfg)
    assert all(moved)
    assert not any('amp' in key for record in logged for key in record)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_losses_are_in_float32_whatever_the_networks_compute(dtype):
    losses = {
        f'loss_{name}': dict(type='mmdckd.DCKDLoss', collector=name)
        for name in (
            'mean',
            'max',
            'logit_mean',
            'min_logit',
            'naive',
            'linear',
            'confidence',
            'cross_entropy',
        )
    }
    losses['loss_gated'] = dict(
        type='mmdckd.GatedEnsembleLoss', num_students=3, num_classes=10
    )
    model = distil(
        num_students=3,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=losses,
            student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
            teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
            distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=3.0)),
            loss_forward_mappings=dict(
                loss_kl=dict(
                    preds_S=dict(recorder='fc', from_student=True),
                    preds_T=dict(recorder='fc', from_student=False),
                )
            ),
        ),
    )
    seen = set()
    for student in model.cohort.students.values():
        student.head.fc.register_forward_hook(
            lambda module, args, output: seen.add(output.dtype)
        )
    model.train()
    with torch.autocast('cpu', dtype):
        terms = model(**model.data_preprocessor(digits(), True), mode='loss')
    assert seen == {dtype}
    for name, value in terms.items():
        assert value.dtype == torch.float32, name
    sum(v for k, v in terms.items() if 'loss' in k).backward()
    assert all(
        p.grad.dtype == torch.float32 for p in model.parameters() if p.grad is not None
    )


def test_a_loss_that_is_infinite_is_no_business_of_the_scaler():
    model = distil()
    wrapper = CPUAmpOptimWrapper(
        optimizer=SGD(model.parameters(), lr=0.1), dtype='float16'
    )
    # The largest number of float16 is 65504.
    model.cohort.students['student0'].head.fc.weight.data.mul_(1e9)
    before = wrapper.loss_scaler.get_scale()
    with pytest.raises(FloatingPointError, match='loss of student0'):
        model.train().train_step(digits(), wrapper)
    assert wrapper.loss_scaler.get_scale() == before
