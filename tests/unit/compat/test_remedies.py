# Copyright (c) mmdckd contributors. All rights reserved.
"""Each fault is seen without its remedy, and gone with it."""

import json
import os
import subprocess
import sys
from importlib import import_module

import pytest
from torch import nn

import mmdckd
from mmdckd import compat
from mmdckd.io import loading

# Gives a process the remedies of mmdckd, not yet applied: the package is not
# executed, so nothing of it is imported but what they import.
LOAD = f"""
import importlib.util, json, os, sys, traceback, warnings
warnings.simplefilter('ignore')
spec = importlib.util.spec_from_file_location('mmdckd', {mmdckd.__file__!r})
sys.modules['mmdckd'] = importlib.util.module_from_spec(spec)
compat = importlib.import_module('mmdckd.compat')
loading = importlib.import_module('mmdckd.io.loading')

def error(code):
    try:
        exec(code, dict(compat=compat))
    except Exception:
        return traceback.format_exc()
"""

REMEDIES = compat.REMEDIES + loading.REMEDIES + compat.MODEL_REMEDIES

# What fails where a fault is present, and how.
FAULTS = dict(
    torchvision_operators=(
        'import torchvision.transforms',
        'operator torchvision::nms does not exist',
    ),
    quantization_import=(
        'import mmrazor.structures.quantization',
        '`torch>=1.13` is not installed properly',
    ),
    inplace_modules=(
        """
import torch
from mmengine.model import BaseModel
from mmrazor.models import BaseAlgorithm
from mmrazor.models.task_modules import RecorderManager

class Network(BaseModel):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(2)
        self.relu = torch.nn.ReLU(inplace=True)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.relu(self.norm(inputs))

algorithm = BaseAlgorithm(Network())
recorders = RecorderManager(
    dict(norm=dict(type='ModuleOutputs', source='norm')))
recorders.initialize(algorithm.architecture)
inputs = torch.randn(4, 2, 3, 3)
with recorders:
    algorithm(inputs)
normalized = algorithm.architecture.norm(inputs)
recorded = recorders.get_recorder('norm').get_record_data()
assert normalized.min() < 0
assert torch.allclose(recorded, normalized, atol=1e-5), 'overwritten'
""",
        'overwritten',
    ),
    synchronized_batchnorm=(
        """
import torch
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.runner import Runner

network = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
seen = []
network[0].register_forward_hook(lambda *_: seen.append(1))
network = convert_sync_batchnorm(network, 'torch')
assert isinstance(network[0], torch.nn.SyncBatchNorm)
network = revert_sync_batchnorm(network)
assert not isinstance(network[0], torch.nn.SyncBatchNorm)
network(torch.randn(4, 2, 3, 3))
assert seen, 'nothing is recorded'
""",
        'nothing is recorded',
    ),
    checkpoints_of_mmengine=(
        """
import io
import torch
from mmengine.logging import HistoryBuffer
file = io.BytesIO()
torch.save(HistoryBuffer([1.], [1]), file)
file.seek(0)
assert torch.load(file, weights_only=True).mean() == 1.
""",
        'HistoryBuffer was not an allowed global',
    ),
    mmcls_parts=(
        """
import torch
from mmrazor.models.architectures.heads import DeiTClsHead
from mmrazor.models.losses import KDSoftCELoss

torch.manual_seed(0)
student, teacher = torch.randn(2, 3, 4)
cross = -(teacher / 2).softmax(1) * (student / 2).log_softmax(1)
loss = KDSoftCELoss(tau=2.)(student, teacher)
assert torch.allclose(loss, 4 * cross.sum(1).mean())

head = DeiTClsHead(num_classes=4, in_channels=3)
tokens = torch.randn(2, 5, 3)
assert torch.equal(head((tuple(tokens), )), head.layers.head(tokens[0]))
""",
        'PlaceHolder',
    ),
    lora_state_dict=(
        """
import torch
from mmpretrain.models.peft.lora import LoRAModel

backbone = LoRAModel(
    dict(type='LinearClsHead', num_classes=2, in_channels=2),
    alpha=1,
    rank=1,
    targets=[dict(type='fc')])
model = torch.nn.Sequential(torch.nn.Linear(2, 2), backbone,
                            torch.nn.Linear(2, 2))
keys = [*model.state_dict()]
assert '2.weight' in keys and '1.module.fc.lora_down.weight' in keys
assert '1.module.fc.original_layer.weight' not in keys
assert '0.weight' in keys, 'the layer before is gone'
""",
        'the layer before is gone',
    ),
)


def run(code):
    """Run code where there is no GPU, and read what it prints as JSON."""
    process = subprocess.run(
        [sys.executable, '-c', LOAD + code],
        env=dict(os.environ, CUDA_VISIBLE_DEVICES=''),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope='module')
def trials():
    """Meet each fault, apply its remedy, and try again.

    Returns:
        dict: Name of the remedy to the error before, whether the remedy
        changed something, and the error after.
    """
    return run(f"""
trials = dict()
for remedy in compat.REMEDIES + loading.REMEDIES + compat.MODEL_REMEDIES:
    code, _ = {FAULTS!r}.get(remedy.__name__, ('', ''))
    trials[remedy.__name__] = error(code), remedy(), error(code)
print(json.dumps(trials))
""")


@pytest.mark.parametrize('name', FAULTS)
def test_fault_is_gone_with_its_remedy(name, trials):
    before, changed, after = trials[name]
    if changed:
        assert FAULTS[name][1] in before
    else:
        assert before is None
    assert after is None


def test_every_remedy_is_tested():
    elsewhere = {
        'mmcv_version',
        'installed_packages',
        'unsafe_checkpoints',
        'contrastive_negatives',  # on a GPU, tests/gpu
    }
    names = {remedy.__name__ for remedy in REMEDIES}
    assert names == elsewhere | {*FAULTS}


@pytest.mark.slow
def test_importing_mmdckd_applies_the_remedies(trials):
    applied, models = run("""
for name in [name for name in sys.modules if name.startswith('mmdckd')]:
    del sys.modules[name]
import mmdckd
models = 'mmrazor.models' in sys.modules
import mmdckd.models
print(json.dumps([mmdckd.compat.APPLIED, models]))
""")
    assert [*applied] == [name for name in trials if trials[name][1]]
    assert all(applied.values())
    assert not models


def test_remedies_are_applied_once():
    import_module('mmdckd.models')  # and with it those of models
    before = dict(compat.APPLIED)
    assert not any(remedy() for remedy in REMEDIES)
    assert compat.APPLIED == before
    assert all(before.values())


def test_mmrazor_beside_a_newer_mmcv():
    before, changed, after, version, reason = run("""
import mmcv
mmcv.__version__ = '2.3.6'
trial = error('import mmrazor'), compat.mmcv_version(), error('import mmrazor')
print(json.dumps([
    *trial, mmcv.__version__, compat.APPLIED['mmcv_version']]))
""")
    assert 'MMCV==2.3.6 is used but incompatible' in before
    assert changed
    assert after is None
    assert version == '2.3.6'
    assert version in reason


def test_inplace_modules_of_nested_networks_are_found():
    from mmengine.model import BaseModel
    from mmrazor.models import BaseAlgorithm

    class Network(BaseModel):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            return inputs

    network = Network()
    network.stages = nn.ModuleList(
        [nn.Sequential(nn.ReLU(inplace=True), nn.ReLU6(inplace=True))]
    )
    network.drop = nn.Dropout(inplace=True)
    BaseAlgorithm(network)
    assert not any(getattr(module, 'inplace', False) for module in network.modules())
