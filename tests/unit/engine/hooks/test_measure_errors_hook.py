# Copyright (c) mmdckd contributors. All rights reserved.
"""KDCL-General in real runs: what is measured, when, and that it is kept."""

import os.path as osp
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from helpers.networks import digits, distil, network
from helpers.runs import run_config, train
from mmdckd.engine.hooks import MeasureErrorsHook
from mmdckd.models.collectors import GeneralCollector

GENERAL = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_kdcl=dict(
            type='mmdckd.DCKDLoss',
            alpha=0.0,
            gamma=0.0,
            tau=2.0,
            collector=dict(type='general', include_self=True),
        )
    ),
)


@HOOKS.register_module(force=True)
class ErrorsOfEachEpoch(Hook):
    """Measures with plain loops what should have been measured."""

    def __init__(self):
        self.measured, self.expected = [], []

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if batch_idx == 0:
            self.measured.append(errors_in(runner.model).clone())

    def before_train_epoch(self, runner):
        self.expected.append(errors_by_hand(runner))


def errors_in(model):
    (collector,) = [m for m in model.modules() if isinstance(m, GeneralCollector)]
    return collector.errors


@torch.no_grad()
def errors_by_hand(runner):
    model = runner.model.eval()
    wrong = []
    for batch in runner.val_dataloader:
        data = model.data_preprocessor(batch, False)
        for i, sample in enumerate(data['data_samples']):
            image = data['inputs'][i : i + 1]
            rows = []
            for student in model.cohort.students.values():
                row = student(image, mode='tensor').softmax(-1)[0].double()
                row[int(sample.gt_label)] -= 1
                rows.append(row)
            wrong.append(torch.stack(rows))
    model.train()
    return sum(rows @ rows.t() for rows in wrong) / len(wrong)


def config(tmp_path, **kwargs):
    cfg = run_config(tmp_path, **kwargs)
    cfg.model.distiller = GENERAL
    cfg.default_hooks.checkpoint.interval = 1
    cfg.custom_hooks = [
        dict(type='mmdckd.MeasureErrorsHook'),
        dict(type='ErrorsOfEachEpoch', priority='LOW'),
    ]
    return cfg


def hook_of(runner):
    (hook,) = [h for h in runner.hooks if isinstance(h, ErrorsOfEachEpoch)]
    return hook


def test_it_measures_at_the_start_of_every_epoch(tmp_path):
    cfg = config(tmp_path)
    runner = train(cfg)
    hook = hook_of(runner)
    assert len(hook.measured) == len(hook.expected) == 2
    for measured, expected in zip(hook.measured, hook.expected):
        torch.testing.assert_close(measured, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(*hook.measured)

    path = osp.join(runner.work_dir, 'epoch_2.pth')
    saved = torch.load(path, weights_only=False)['state_dict']
    torch.testing.assert_close(
        saved['distiller.collective_losses.loss_kdcl.collector.errors'],
        hook.measured[1],
    )


def test_it_measures_for_a_collector_inside_another_one(tmp_path):
    cfg = config(tmp_path)
    loss = cfg.model.distiller.collective_losses.loss_kdcl
    loss.collector = dict(type='agreement', collector=loss.collector)
    hook = hook_of(train(cfg))
    torch.testing.assert_close(hook.measured, hook.expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_run_has_the_weights_of_one_that_was_not(tmp_path):
    whole = hook_of(train(config(tmp_path)))
    half = train(config(tmp_path))
    cfg = config(tmp_path)
    cfg.load_from = osp.join(half.work_dir, 'epoch_1.pth')
    cfg.resume = True
    resumed = hook_of(train(cfg))
    assert len(resumed.measured) == 1
    assert torch.equal(resumed.measured[0], whole.measured[1])


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_resumed_run_measures_as_often_as_one_that_was_not(tmp_path, by_epoch):
    """With intervals that change; the checkpoint has been validated."""
    end = dict(max_epochs=5) if by_epoch else dict(max_iters=5)
    cfg = config(tmp_path)
    cfg.train_cfg = dict(
        by_epoch=by_epoch, val_interval=3, dynamic_intervals=[(4, 2)], **end
    )
    cfg.train_dataloader.dataset.indices = 32
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    cfg.default_hooks.checkpoint.by_epoch = by_epoch
    cfg.custom_hooks = cfg.custom_hooks[:1]
    whole = train(cfg)
    name = 'epoch_4.pth' if by_epoch else 'iter_4.pth'
    cfg.load_from, cfg.resume = osp.join(whole.work_dir, name), True
    cfg.experiment_name += '_resumed'
    assert torch.equal(errors_in(train(cfg).model), errors_in(whole.model))


class Batches(list):
    """What a data loader is to the hook."""

    dataset = range(16)


def test_it_measures_teachers_for_the_collectors_that_have_them():
    loss = dict(
        type='mmdckd.DCKDLoss',
        collector=dict(type='general', include_teacher=True),
        teacher_collector='general',
    )
    model = distil(
        2,
        teacher=[network(34), network(18, width=8)],
        distiller=dict(
            type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_dckd=loss)
        ),
    )
    loop = SimpleNamespace(dataloader=Batches([digits()]))
    MeasureErrorsHook().measure(SimpleNamespace(model=model, val_loop=loop))
    data = model.eval().data_preprocessor(digits(), False)
    networks = [*model.cohort.students.values(), *(t.model for t in model.teachers)]
    labels = torch.eye(10)[[int(s.gt_label) for s in data['data_samples']]]
    with torch.no_grad():
        wrong = torch.stack(
            [
                (each(data['inputs'], mode='tensor').softmax(-1) - labels).double()
                for each in networks
            ]
        )
    expected = torch.einsum('jbc,kbc->jk', wrong, wrong) / 16
    measured = model.distiller.collective_losses.loss_dckd
    close = dict(rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(measured.collector.errors, expected, **close)
    errors = measured.teacher_collector.errors
    torch.testing.assert_close(errors, expected[2:, 2:], **close)


def test_a_run_by_iterations(tmp_path):
    cfg = config(tmp_path, train_cfg=dict(by_epoch=False, max_iters=4, val_interval=2))
    cfg.custom_hooks[1] = dict(type='ErrorsOfEachIteration')
    seen = []

    @HOOKS.register_module(force=True)
    class ErrorsOfEachIteration(Hook):
        def after_train_iter(self, runner, **kwargs):
            seen.append(errors_in(runner.model).clone())

    train(cfg)
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[2], seen[3])
    assert not torch.equal(seen[0], seen[2])


def test_it_needs_a_validation_split_and_a_collector(tmp_path):
    cfg = config(tmp_path, val_dataloader=None, val_cfg=None, val_evaluator=None)
    cfg.default_hooks.checkpoint.pop('save_best')
    with pytest.raises(ValueError, match='Set `val_dataloader`'):
        Runner.from_cfg(cfg).train()
    cfg = config(tmp_path)
    cfg.model.distiller.collective_losses.loss_kdcl.collector = 'mean'
    with pytest.raises(ValueError, match='Invalid `collector`'):
        Runner.from_cfg(cfg).train()


def test_without_it_there_are_no_weights(tmp_path):
    cfg = config(tmp_path)
    cfg.custom_hooks = []
    with pytest.raises(RuntimeError, match='Add .*MeasureErrorsHook'):
        Runner.from_cfg(cfg).train()
