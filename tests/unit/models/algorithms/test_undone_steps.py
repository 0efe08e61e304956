# Copyright (c) mmdckd contributors. All rights reserved.
"""A step with a loss that is not finite leaves nothing behind."""

import pytest
import torch

from helpers.networks import digits, distil

CRD = dict(
    type='mmdckd.CollectiveDistiller',
    student_recorders=dict(
        gap=dict(type='ModuleOutputs', source='neck.gap'),
        samples=dict(type='ModuleInputs', source=''),
    ),
    teacher_recorders=dict(gap=dict(type='ModuleOutputs', source='neck.gap')),
    connectors=dict(
        student=dict(type='CRDConnector', dim_in=32, dim_out=16),
        teacher=dict(type='CRDConnector', dim_in=32, dim_out=16),
    ),
    distill_losses=dict(
        loss_crd=dict(type='CRDLoss', neg_num=8, sample_n=64, dim_out=16)
    ),
    loss_forward_mappings=dict(
        loss_crd=dict(
            s_feats=dict(from_student=True, recorder='gap', connector='student'),
            t_feats=dict(from_student=False, recorder='gap', connector='teacher'),
            data_samples=dict(from_student=True, recorder='samples', data_idx=1),
        )
    ),
)


def numbered(start, spoil=False):
    """Images of a data set of 64, with their numbers."""
    batch = digits(start=start)
    batch['inputs'] = batch['inputs'].float().contiguous()
    if spoil:
        batch['inputs'][0] = float('nan')
    for i, sample in enumerate(batch['data_samples']):
        sample.set_field(torch.tensor(start + i), 'sample_idx', dtype=torch.Tensor)
    return batch


def step(model, optim, batch):
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    optim.step()
    optim.zero_grad()


def state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize('before', [0, 1])
def test_memory_banks_of_crd_are_as_before(before):
    model = distil(distiller=CRD).train()
    optim = torch.optim.SGD(model.parameters(), lr=0.01)
    for i in range(before):
        step(model, optim, numbered(8 * i))
    expected = state(model)
    with pytest.raises(FloatingPointError, match='Not finite'):
        step(model, optim, numbered(8, spoil=True))
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key
    step(model, optim, numbered(8))
    banks = [key for key in expected if 'memory_v' in key]
    assert len(banks) == 4
    for key in banks:
        changed = (model.state_dict()[key] != expected[key]).any(1)
        assert changed.nonzero().flatten().tolist() == list(range(8, 24))


@pytest.mark.parametrize('lagged', [dict(momentum=0.5), dict(interval=2)])
@pytest.mark.parametrize('stop', [0, 1, 2])
def test_lagged_peers_follow_a_step_once(lagged, stop):
    models = [distil(lagged_peers=lagged).train() for _ in range(2)]
    for model, stops in zip(models, (False, True)):
        optim = torch.optim.SGD(model.parameters(), lr=0.1)
        for i in range(4):
            if stops and i == stop:
                with pytest.raises(FloatingPointError):
                    step(model, optim, numbered(16 * i, spoil=True))
                saved = state(model)
                model.load_state_dict(saved)
            step(model, optim, numbered(16 * i))
    expected, resumed = map(state, models)
    for key in expected:
        assert torch.equal(resumed[key], expected[key]), key
    assert resumed['lagged_peers.steps'] == 4


def test_lagged_peers_that_did_not_follow_a_step_do_not_step_back():
    """After distillation has stopped."""
    model = distil(lagged_peers=dict(interval=2)).train()
    optim = torch.optim.SGD(model.parameters(), lr=0.1)
    step(model, optim, numbered(0))
    model.distillation_stopped = True
    expected = state(model)
    with pytest.raises(FloatingPointError):
        step(model, optim, numbered(16, spoil=True))
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key
