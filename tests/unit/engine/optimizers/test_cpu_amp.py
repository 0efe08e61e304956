# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch

from mmdckd.engine.optimizers import CPUAmpOptimWrapper, cpu_amp


def wrapper(network, **kwargs):
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    return CPUAmpOptimWrapper(optimizer=optimizer, **kwargs)


def test_a_step_in_bfloat16_is_the_step():
    torch.manual_seed(0)
    network, inputs = torch.nn.Linear(4, 3), torch.randn(8, 4)
    start = network.weight.detach().clone()
    optim = wrapper(network)
    with optim.optim_context(network):
        outputs = network(inputs)
    assert outputs.dtype == torch.bfloat16
    optim.update_params(outputs.float().sum())
    # The gradient of a sum is the sum of the inputs, whatever the scale.
    moved = start - inputs.sum(0)
    assert torch.allclose(network.weight, moved.expand(3, 4), atol=0.1)
    assert optim.state_dict()['loss_scaler']['scale'] > 1


def test_its_types_and_scales():
    network = torch.nn.Linear(4, 3)
    with wrapper(network, dtype='float16').optim_context(network):
        assert network(torch.randn(8, 4)).dtype == torch.float16
    assert wrapper(network, loss_scale=8.0).loss_scaler.get_scale() == 8
    disabled = wrapper(network, loss_scale=dict(enabled=False))
    assert not disabled.loss_scaler.is_enabled()
    with pytest.raises(TypeError, match='`optim_wrapper.loss_scale`: expected'):
        wrapper(network, loss_scale='static')


def test_another_type_than_half_precision_is_refused():
    network = torch.nn.Linear(4, 3)
    for dtype in ('bf16', 'float64', torch.float32):
        with pytest.raises(ValueError, match="`optim_wrapper.dtype`: expected 'bfloat"):
            wrapper(network, dtype=dtype)
    assert wrapper(network, dtype=torch.float16).cast_dtype is torch.float16


@pytest.mark.parametrize(
    'device, kind', [('cpu', 'mmdckd.CPUAmpOptimWrapper'), ('cuda', 'AmpOptimWrapper')]
)
def test_the_type_for_a_device(device, kind, monkeypatch):
    monkeypatch.setattr(cpu_amp, 'get_device', lambda: device)
    assert cpu_amp.amp_type() == kind
