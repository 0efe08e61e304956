# Copyright (c) mmdckd contributors. All rights reserved.
"""The formulas of studies/timing/on_paper.py against bytes that are counted."""

from unittest import mock

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

from helpers.networks import digits, distil
from helpers.processes import run_processes
from mmdckd.models.algorithms.spreading import spread
from mmdckd.models.cohorts.cohort_mesh import CohortMesh
from studies.timing import on_paper

IMAGES, CLASSES = 16, 10


def counted(rank, number, parallel):
    """The bytes that a process sends in a step and holds after it."""
    model = distil(parallel=parallel)
    group, size = dist.group.WORLD, number
    if parallel == 'cohort':
        spread(model, CohortMesh(model.cohort.names))
        group = model.exchange.mesh.data
        size = dist.get_world_size(group)
    own = [each for each in model.parameters() if not each.is_meta]
    away = [name for name, each in model.named_parameters() if each.is_meta]
    kind = MMDistributedDataParallel
    kind._set_params_and_buffers_to_ignore_for_model(model, away)
    trained = kind(module=model, process_group=group)
    gathered, reduced = [], []
    gather = dist.all_gather

    def count_gather(received, sent, group, async_op):
        gathered.append(sent.nbytes * (len(received) - 1))
        return gather(received, sent, group, async_op)

    def count_reduce(
        state, bucket: dist.GradBucket
    ) -> torch.futures.Future[torch.Tensor]:
        reduced.append(2 * (size - 1) / size * bucket.buffer().nbytes)
        return default_hooks.allreduce_hook(group, bucket)

    trained.register_comm_hook(None, count_reduce)
    place = dist.get_group_rank(group, rank)
    batch = {key: value[place::size] for key, value in digits(IMAGES).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with mock.patch.object(dist, 'all_gather', count_gather):
        trained.train_step(batch, OptimWrapper(optimizer))
    momenta = [state['momentum_buffer'] for state in optimizer.state.values()]
    # A step of the wrapper ends without gradients, which are as large.
    held = sum(x.nbytes for x in [*own, *own, *momenta])
    return sum(gathered) + sum(reduced), held


@pytest.mark.parametrize('number', [2, 4])
def test_bytes_are_those_of_the_formulas(number):
    parameters = sum(p.numel() for p in distil().cohort.parameters()) // 2
    sizes = (number, 2, parameters)
    for sent, held in run_processes(counted, number, 'data', number=number):
        assert sent == on_paper.sent_by_data(*sizes)
        assert held == on_paper.held(*sizes, 'data')
    # Beside logits, the task loss of a student goes to its peer.
    expected = on_paper.sent_by_cohort(*sizes, IMAGES, CLASSES) + 4
    for sent, held in run_processes(counted, number, 'cohort', number=number):
        assert sent == expected
        assert held == on_paper.held(*sizes, 'cohort')


def test_at_the_crossover_both_send_the_same():
    sizes = (8, 4, 1e6)
    images = on_paper.crossover(*sizes, CLASSES)
    assert on_paper.sent_by_cohort(*sizes, images, CLASSES) == pytest.approx(
        on_paper.sent_by_data(*sizes)
    )
