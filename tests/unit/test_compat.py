# Copyright (c) mmdckd contributors. All rights reserved.
"""Each fault is seen without its remedy, and gone with it."""

import importlib
import io
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner
from torch import nn

import mmdckd
from helpers.runs import run_config
from mmdckd import compat

# Gives a process the remedies of mmdckd, not yet applied: the package is not
# executed, so nothing of it is imported but what they import.
LOAD = f"""
import importlib.util, json, os, sys, traceback, warnings
warnings.simplefilter('ignore')
spec = importlib.util.spec_from_file_location('mmdckd', {mmdckd.__file__!r})
sys.modules['mmdckd'] = importlib.util.module_from_spec(spec)
compat = importlib.import_module('mmdckd.compat')

def error(code):
    try:
        exec(code, dict(compat=compat))
    except Exception:
        return traceback.format_exc()
"""

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
normalised = algorithm.architecture.norm(inputs)
recorded = recorders.get_recorder('norm').get_record_data()
assert normalised.min() < 0
assert torch.allclose(recorded, normalised, atol=1e-5), 'overwritten'
""",
        'overwritten',
    ),
    synchronised_batchnorm=(
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
    own_configs=(
        """
from mmengine.config.utils import _get_package_and_cfg_path as find
assert find('mmdckd::_base_/run.py') == ('mmdckd', '_base_/run.py')
assert find('mmdckd::run.py') == ('mmdckd', 'run.py')
assert find('mmpretrain::a/b.py') == ('mmpretrain', 'a/b.py')
""",
        'mmengine does not support to load mmdckd config',
    ),
    mmcls_configs=(
        """
from mmengine.hub import get_config
from mmengine.utils import package_utils

def call_command(command):
    raise RuntimeError(' '.join(command[1:]))

package_utils.call_command = call_command
try:
    get_config('mmcls::resnet/resnet18_8xb32_in1k.py')
except ModuleNotFoundError as error:
    assert "'mmpretrain::resnet/resnet18_8xb32_in1k.py'" in str(error)
""",
        '-m pip install mmcls',
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
    amp_cpu=(
        """
import torch
from mmengine.optim import AmpOptimWrapper

torch.manual_seed(0)
network = torch.nn.Linear(4, 3)
start = network.weight.detach().clone()
wrapper = AmpOptimWrapper(
    optimizer=torch.optim.SGD(network.parameters(), lr=1.))
inputs = torch.randn(8, 4)
with wrapper.optim_context(network):
    outputs = network(inputs)
assert outputs.dtype == torch.bfloat16
wrapper.update_params(outputs.float().sum())
# The gradient of a sum is the sum of the inputs, whatever the scale.
moved = start - inputs.sum(0)
assert torch.allclose(network.weight, moved.expand(3, 4), atol=0.1)
assert wrapper.state_dict()['loss_scaler']['scale'] > 1
wrapper = AmpOptimWrapper(
    optimizer=torch.optim.SGD(network.parameters(), lr=1.), dtype='float16')
with wrapper.optim_context(network):
    assert network(inputs).dtype == torch.float16
""",
        'only available training on gpu',
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
for remedy in compat.REMEDIES:
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
        'distributed_cpu',
        'unsafe_checkpoints',
        'contrastive_negatives',  # on a GPU, tests/gpu
    }
    names = {remedy.__name__ for remedy in compat.REMEDIES}
    assert names == elsewhere | {*FAULTS}


def test_importing_mmdckd_applies_the_remedies(trials):
    applied, models = run("""
for name in [name for name in sys.modules if name.startswith('mmdckd')]:
    del sys.modules[name]
import mmdckd
applied = mmdckd.compat.APPLIED
models = 'mmrazor.models' in sys.modules
import mmrazor.models
print(json.dumps([applied, models]))
""")
    assert [*applied] == [name for name in trials if trials[name][1]]
    assert all(applied.values())
    assert not models


def test_saving_and_resuming_are_left_to_mmengine():
    """What is another there is in hooks of mmdckd, which a config names."""
    places = run("""
import inspect
import mmdckd
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, find_latest_checkpoint, runner
functions = [
    LocalBackend.put, LocalBackend.put_text, Runner.save_checkpoint,
    find_latest_checkpoint, runner.find_latest_checkpoint]
functions += [
    function for name, function in vars(CheckpointHook).items()
    if inspect.isfunction(function)]
print(json.dumps([inspect.getfile(f) for f in functions]))
""")
    assert len(places) > 15
    assert all('mmengine' in place for place in places)


def test_remedies_are_applied_once():
    before = dict(compat.APPLIED)
    finders = list(sys.meta_path)
    assert not any(remedy() for remedy in compat.REMEDIES)
    assert compat.APPLIED == before
    assert sys.meta_path == finders
    assert all(before.values())


def test_actions_after_an_import(tmp_path, monkeypatch):
    path = tmp_path / 'imported_late.py'
    path.write_text('raise ImportError("not yet")')
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    for action in ('first', 'second'):
        compat.after_import(
            'imported_late',
            lambda action=action: seen.append(
                (action, sys.modules['imported_late'].value)
            ),
        )
    with pytest.raises(ImportError, match='not yet'):
        importlib.import_module('imported_late')
    assert seen == []
    path.write_text('value = 1  # and the size of the file has changed')
    importlib.import_module('imported_late')
    assert seen == [('first', 1), ('second', 1)]
    compat.after_import('imported_late', lambda: seen.append('at once'))
    assert seen[2:] == ['at once']
    del sys.modules['imported_late']


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


def test_missing_packages_are_named_with_the_command(monkeypatch):
    missing = ('mmcv', 'mmpretrain')
    find = compat.find_spec
    monkeypatch.setattr(
        compat, 'find_spec', lambda name: None if name in missing else find(name)
    )
    with pytest.raises(ModuleNotFoundError) as error:
        compat.require_packages()
    assert 'mmdckd needs mmcv, mmpretrain,' in str(error.value)
    assert 'pip install mmcv-lite==2.1.0 mmpretrain' in str(error.value)
    monkeypatch.undo()
    compat.require_packages()


def test_quantization_backends_are_refused_clearly():
    if 'quantization_import' not in compat.APPLIED:
        pytest.skip('this torch has what mmrazor quantizes with')
    from mmrazor.structures.quantization import BackendConfigs

    with pytest.raises(RuntimeError, match="'openvino' of mmrazor needs"):
        BackendConfigs['openvino']


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


def load(content):
    """Save and load as torch does by default since 2.6."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_what_the_message_hub_holds_is_loaded():
    hub = MessageHub('test_compat')
    for value in (1.5, 2.5):
        hub.update_scalar('train/loss', value)
        hub.update_scalar('train/count', int(value), 3)
    hub.update_info('best', np.float32(0.5))
    hub.update_info('flag', np.bool_(True))
    hub.update_info('numbers', np.arange(3))
    loaded = load(hub.state_dict())
    loss = loaded['log_scalars']['train/loss']
    assert isinstance(loss, HistoryBuffer)
    np.testing.assert_array_equal(loss.data[0], [1.5, 2.5])
    np.testing.assert_array_equal(loaded['log_scalars']['train/count'].data[1], [3, 3])
    assert loss.mean() == 2.0
    assert loss.statistics('max') == 2.5
    info = loaded['runtime_info']
    assert info['best'] == np.float32(0.5) and info['flag']
    np.testing.assert_array_equal(info['numbers'], np.arange(3))


class RunsCode:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'evil',
    [
        RunsCode(os.system, 'exit 3'),
        RunsCode(eval, '1'),
        RunsCode(getattr, str, 'join'),
        RunsCode(getattr, HistoryBuffer, '__init__'),
        RunsCode(np.load, 'file'),
    ],
    ids=['system', 'eval', 'getattr', 'private', 'numpy'],
)
def test_no_code_is_run_by_what_is_loaded(evil):
    with pytest.raises(pickle.UnpicklingError):
        load(evil)


def test_packages_are_found_without_pkg_resources():
    import mmengine

    assert compat._is_installed('mmengine')
    assert compat._is_installed('scikit-learn')  # imported as sklearn
    assert not compat._is_installed('mmabsent')
    folder = os.path.dirname(mmengine.__file__)
    assert compat._get_installed_path('mmengine') == folder
    with pytest.raises(ModuleNotFoundError):
        compat._get_installed_path('mmabsent')


def test_path_of_a_package_called_otherwise_than_its_module():
    import mmcv

    name = next(
        name
        for name in ('mmcv-lite', 'onedl-mmcv', 'mmcv')
        if compat._is_installed(name)
    )
    assert compat._get_installed_path(name) == os.path.dirname(mmcv.__file__)


TRAIN = """
import gc
import torch
from mmengine.dist import all_gather, get_backend
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

class Network(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.linear(torch.stack(inputs)).square().mean())

class Numbers(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.arange(3.) + index)

def train(name, wrapper):
    runner = Runner(
        Network(),
        work_dir=os.environ['WORK_DIR'],
        experiment_name=name,
        train_dataloader=dict(
            dataset=Numbers(),
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=False, max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        launcher='pytorch',
        env_cfg=dict(dist_cfg=dict(backend='nccl')),
        cfg=dict(model_wrapper_cfg=wrapper))
    start = runner.model.module.linear.weight.detach().clone()
    runner.train()
    weights = all_gather(runner.model.module.linear.weight.detach())
    assert get_backend() == 'gloo'
    assert len(weights) == 2 and torch.equal(*weights)
    assert not torch.equal(start, weights[0])

try:
    train('without', None)
except Exception:
    assert 'set_device' in traceback.format_exc()
else:
    raise AssertionError('the fault is not there')
assert compat.distributed_cpu()
train('plain', None)
train('configured', dict(find_unused_parameters=True))
# Threads of the process group that still run would abort the process. It has
# them until no model holds it.
group = torch.distributed.group.WORLD
torch.distributed.destroy_process_group()
gc.collect()
del group
"""


def test_two_processes_train_on_the_cpu(tmp_path):
    script = tmp_path / 'train.py'
    script.write_text(LOAD + 'compat.torchvision_operators()' + TRAIN)
    process = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc-per-node',
            '2',
            str(script),
        ],
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='', WORK_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr


def test_checkpoint_hook_outside_of_training(tmp_path):
    cfg = run_config(tmp_path, train_dataloader=None, train_cfg=None)
    cfg.optim_wrapper = None
    cfg.default_hooks.checkpoint.save_best = None
    assert 'best/accuracy/top1' in Runner.from_cfg(cfg).val()
