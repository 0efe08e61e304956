# Copyright (c) mmdckd contributors. All rights reserved.
"""What is summed over processes does not depend on how many there are."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from helpers.networks import distil
from helpers.processes import run_processes
from helpers.runs import loader
from mmdckd.engine.hooks import CohortStatisticsHook, MeasureErrorsHook

#: Three processes have 21, 20 and 20 of them, and two an image once more.
IMAGES = 61
DISTILLER = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_kdcl=dict(
            type='mmdckd.DCKDLoss',
            alpha=0.0,
            collector=dict(type='general', include_self=True),
        )
    ),
)


def runner_of(folder):
    cfg = loader('val', indices=IMAGES)
    cfg['batch_size'] = 8
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataloader = Runner.build_dataloader(cfg, seed=0)
    model = distil(distiller=DISTILLER, teacher=None).eval()
    return SimpleNamespace(
        model=model,
        val_loop=SimpleNamespace(dataloader=dataloader),
        val_dataloader=dataloader,
        hooks=[],
        logger=None,
        message_hub=MessageHub.get_instance(f'sums{get_rank()}'),
    )


def errors(rank, folder):
    runner = runner_of(folder)
    MeasureErrorsHook().measure(runner)
    loss = runner.model.distiller.collective_losses['loss_kdcl']
    return loss.collector.errors.numpy()


class Statistics(CohortStatisticsHook):
    """It sums, and writes nothing."""

    @staticmethod
    def _cohort(runner):
        return None

    def _write(self, *args):
        pass


@torch.no_grad()
def statistics(rank, folder, two_labels_in=None):
    runner, hook = runner_of(folder), Statistics()
    model = runner.model
    hook.before_val_epoch(runner)
    for index, batch in enumerate(runner.val_dataloader):
        if rank == two_labels_in:
            batch['data_samples'][0].set_gt_label([1, 2])
        data = model.data_preprocessor(batch, False)
        hook.after_val_iter(runner, index, batch, model._predict(**data))
    hook.after_val_epoch(runner)
    return {
        key: value.current() for key, value in runner.message_hub.log_scalars.items()
    }


def test_an_image_with_two_labels_stops_the_statistics_of_all(tmp_path):
    assert run_processes(statistics, tmp_path, 1) == [{}, {}]


@pytest.mark.parametrize('what', [errors, statistics])
def test_one_process_and_three(tmp_path, what):
    one = what(0, tmp_path)
    for other in run_processes(what, tmp_path, number=3):
        assert other == pytest.approx(one, rel=1e-12)
