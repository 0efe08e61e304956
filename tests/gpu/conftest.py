# Copyright (c) mmdckd contributors. All rights reserved.
"""The device, and arithmetic that can be compared with float64."""

import os

# cuBLAS reads it once; `deterministic=True` asks for it.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

import pytest  # noqa: E402
import torch  # noqa: E402
from mmengine.logging import MessageHub  # noqa: E402


@pytest.fixture(scope='session')
def device(request):
    """torch.device: That of ``--device``."""
    chosen = request.config.getoption('--device')
    chosen = chosen or ('cuda' if torch.cuda.is_available() else 'cpu')
    return torch.device(chosen, 0) if chosen == 'cuda' else torch.device('cpu')


@pytest.fixture
def cuda(device):
    """The device; skips what makes sense on CUDA alone."""
    if device.type != 'cuda':
        pytest.skip('there is no such thing on the CPU')
    return device


@pytest.fixture
def measure(record_property):
    """Hold a number to what it may be, and list it after the tests."""

    def check(what, value, limit):
        record_property('measured', (what, float(value), float(limit)))
        assert value <= limit, what

    return check


@pytest.fixture
def compare(measure):
    """Hold a tensor to its reference, relative to the largest entry of it."""

    def check(what, value, reference, limit):
        assert value.shape == reference.shape
        reference = reference.detach().double().cpu()
        difference = (value.detach().double().cpu() - reference).abs().max()
        scale = reference.abs().max().clamp_min(1e-30)
        assert torch.isfinite(difference), what
        measure(what, difference / scale, limit)

    return check


@pytest.fixture(scope='session', autouse=True)
def no_tf32():
    """Its 10 bits are those of float16. For a session, as fixtures of a
    module train too."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture(autouse=True)
def nondeterministic_again():
    """No trace of a run that was deterministic."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    yield
    cudnn.benchmark, cudnn.deterministic = before
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def own_message_hub():
    """A ramp, or a record, of an earlier run is none of this one."""
    before = MessageHub._instance_dict.copy()
    yield
    MessageHub._instance_dict.clear()
    MessageHub._instance_dict.update(before)
