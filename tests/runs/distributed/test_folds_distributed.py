# Copyright (c) mmdckd contributors. All rights reserved.
"""Students that are blind to a fold, trained by two processes."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers.networks import network
from helpers.processes import run_processes
from helpers.runs import loader, run_config
from mmdckd.datasets import Digits
from mmdckd.datasets.folds import Folds
from mmdckd.engine.cpu_processes import use_cpu_processes


class Batches(Hook):
    def __init__(self):
        self.images = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        samples = data_batch['data_samples']
        assert {sample.fold for sample in samples} == {0, 1}
        self.images.append([sample.sample_idx for sample in samples])


def trained(rank, cfg):
    use_cpu_processes(cfg)
    runner = Runner.from_cfg(cfg)
    seen = Batches()
    runner.register_hook(seen)
    runner.train()
    weights = sum(float(p.double().sum()) for p in runner.model.parameters())
    return seen.images, weights


def test_each_process_has_its_images_of_every_fold(tmp_path):
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_dckd=dict(type='mmdckd.DCKDLoss', collector='held_out')
        ),
    )
    cfg = run_config(
        tmp_path,
        dict(
            architecture=network(),
            num_students=3,
            distiller=distiller,
            folds=dict(graduate='student2'),
        ),
        launcher='pytorch',
        train_dataloader=dict(loader('train', indices=96), batch_size=16),
        train_cfg=dict(by_epoch=True, max_epochs=1),
    )
    cfg.default_hooks.folds = dict(type='mmdckd.FoldsHook')
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    (first, weights), (second, others) = run_processes(trained, cfg)
    assert weights == others
    folds = Folds.of(Digits(indices=96), 2, 0).folds
    for batch in first + second:
        assert len(batch) == 16 and folds[batch].sum() == 8
    # Disjoint, but for the few by which one fold is smaller.
    taken = sum(first + second, [])
    assert len(taken) == 96 and len(set(taken)) >= 96 - abs(96 - 2 * folds.sum())
