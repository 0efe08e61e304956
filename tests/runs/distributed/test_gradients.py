# Copyright (c) mmdckd contributors. All rights reserved.
"""Two processes with half the batch each compute what one does with all."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm
from torch import nn
from torch.distributed.nn.functional import all_reduce

from helpers.gradients import KeepGradients, dckd
from helpers.networks import digits, distil, network, shallow
from helpers.processes import run_processes

# float32 and another order of summation: relative to the norm of the gradient
# of a parameter.
TOLERANCE = 2e-5


def without_statistics(width=4):
    cfg = shallow(width)
    cfg['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
    return cfg


def gradients(rank, number, cfg, sync_bn=False, steps=1):
    """The gradient of every parameter after a step, by name."""
    model = distil(**cfg)
    if sync_bn:
        model = convert_sync_batchnorm(model, 'torch')
    size = 16 // number
    part = slice(rank * size, (rank + 1) * size)
    batch = {key: value[part] for key, value in digits().items()}
    trained = model
    if number > 1:
        # As MMEngine's runner wraps it.
        trained = MMDistributedDataParallel(
            module=model, broadcast_buffers=False, find_unused_parameters=False
        )
    wrapper = KeepGradients(torch.optim.SGD(model.parameters(), lr=0.1))
    # DDP finds out in the second step what it has missed in the first.
    for _ in range(steps):
        trained.train_step(batch, wrapper)
    return {
        name: parameter.grad.numpy() for name, parameter in model.named_parameters()
    }


def assert_equal(one, two, tolerance=TOLERANCE):
    assert one.keys() == two.keys()
    largest = max(abs(gradient).max() for gradient in one.values())
    assert largest > 1e-3
    for name, gradient in one.items():
        difference = abs(two[name] - gradient).max()
        scale = max(abs(gradient).max(), 1e-3 * largest)
        assert difference <= tolerance * scale, name


CASES = dict(
    dckd=dict(),
    trainable_teacher=dict(teacher=without_statistics(6), teacher_trainable=True),
    several_teachers=dict(teacher=[shallow(6), shallow()]),
    non_target=dict(distiller=dckd(correlation='non_target')),
    linear=dict(distiller=dckd(collector=dict(type='linear', include_self=True))),
    lagged_peers=dict(lagged_peers=dict(interval=2)),
    gate=dict(
        teacher=None,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss=dict(
                    type='mmdckd.GatedEnsembleLoss', num_students=2, num_classes=10
                )
            ),
        ),
    ),
)


@pytest.mark.parametrize('cfg', CASES.values(), ids=CASES)
def test_gradients_without_batch_statistics(cfg):
    cfg = dict(dict(architecture=without_statistics(), teacher=shallow(6)), **cfg)
    one = gradients(0, 1, cfg)
    for two in run_processes(gradients, 2, cfg):
        assert_equal(one, two)


def synchronized(self, inputs):
    """torch's SyncBatchNorm has no kernel for the CPU: what it computes,
    written out."""
    if not self.training:
        return nn.functional.batch_norm(
            inputs,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            False,
            0.0,
            self.eps,
        )
    number = torch.distributed.get_world_size()
    mean = all_reduce(inputs.mean((0, 2, 3), keepdim=True)) / number
    variance = (
        all_reduce((inputs - mean).square().mean((0, 2, 3), keepdim=True)) / number
    )
    weight, bias = self.weight.view(-1, 1, 1), self.bias.view(-1, 1, 1)
    return (inputs - mean) / (variance + self.eps).sqrt() * weight + bias


CONNECTED = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    student_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer4')),
    teacher_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer4')),
    connectors=dict(
        adapt=dict(type='ConvModuleConnector', in_channel=32, out_channel=32)
    ),
    distill_losses=dict(loss_l2=dict(type='L2Loss')),
    loss_forward_mappings=dict(
        loss_l2=dict(
            s_feature=dict(recorder='last', from_student=True, connector='adapt'),
            t_feature=dict(recorder='last', from_student=False),
        )
    ),
)
NORMALIZED = dict(type='ModuleOutputs', source='backbone.layer4.1.bn2')
SYNCHRONIZED = dict(
    frozen_teacher=dict(),
    trainable_teacher=dict(teacher_trainable=True, teacher_norm_eval=False),
    lagged_peers=dict(lagged_peers=dict(momentum=0.5)),
    recorded=dict(
        distiller=dict(
            CONNECTED,
            student_recorders=dict(last=NORMALIZED),
            teacher_recorders=dict(last=NORMALIZED),
        )
    ),
)


@pytest.mark.parametrize('cfg', SYNCHRONIZED.values(), ids=SYNCHRONIZED)
def test_gradients_with_synchronized_batch_statistics(monkeypatch, cfg):
    cfg = dict(cfg, teacher=network())
    one = gradients(0, 1, cfg)
    for part in run_processes(gradients, 2, cfg):
        # The halves have statistics of their own: it is a matter of these.
        with pytest.raises(AssertionError):
            assert_equal(one, part, 1e-2)
    with pytest.raises(RuntimeError, match='SyncBatchNorm .* only .* GPU'):
        run_processes(gradients, 2, cfg, True)
    monkeypatch.setattr(nn.SyncBatchNorm, 'forward', synchronized)
    monkeypatch.setattr(
        MMDistributedDataParallel, '_passing_sync_batchnorm_handle', lambda *_: None
    )
    for two in run_processes(gradients, 2, cfg, True):
        assert_equal(one, two, 1e-3)


FOR_ONE = dict(
    CONNECTED, distill_losses=dict(loss_l2=dict(type='L2Loss', students=['student1']))
)
ALL_USED = dict(
    frozen_teacher=dict(),
    trainable_teacher=dict(teacher_trainable=True),
    teacher_that_nothing_learns_from=dict(
        teacher_trainable=True, distiller=dckd(alpha=0.0)
    ),
    connectors=dict(distiller=CONNECTED),
    loss_of_one_student=dict(distiller=FOR_ONE),
    connectors_alone=dict(
        distiller=dict(CONNECTED, collective_losses=None),
        student_trainable=False,
        calculate_student_loss=False,
    ),
    no_task_loss=dict(calculate_student_loss=False),
    lagged_peers=dict(lagged_peers=dict(momentum=0.5)),
)


@pytest.mark.parametrize('cfg', ALL_USED.values(), ids=ALL_USED)
def test_no_search_for_unused_parameters(cfg):
    """Three steps with ``find_unused_parameters=False``."""
    first, second = run_processes(gradients_or_none, 2, dict(cfg, teacher=network()))
    assert first == second


def gradients_or_none(rank, number, cfg):
    model = distil(**cfg)
    wrapped = MMDistributedDataParallel(
        module=model, broadcast_buffers=False, find_unused_parameters=False
    )
    wrapper = KeepGradients(torch.optim.SGD(model.parameters(), lr=0.1))
    batch = {key: value[8 * rank : 8 * rank + 8] for key, value in digits().items()}
    for _ in range(3):
        wrapped.train_step(batch, wrapper)
    return {
        name: float(parameter.grad.norm())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
