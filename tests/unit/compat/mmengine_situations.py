# Copyright (c) mmdckd contributors. All rights reserved.
"""What plain MMEngine does in many situations, as JSON.

Run as a script: ``mmengine_situations.py FOLDER [with]``. With the second
argument, the whole of mmdckd is imported first; without it, nothing but the
remedy that makes torchvision, and with it MMEngine's runner, importable.
"""

import importlib.util
import json
import os
import re
import shutil
import sys
import warnings
from importlib import import_module
from pathlib import Path

warnings.simplefilter('ignore')
ROOT = Path(__file__).parents[3]
if 'with' in sys.argv[2:]:
    for module in ('mmdckd', 'mmdckd.models', 'mmdckd.engine', 'mmdckd.evaluation'):
        import_module(module)
else:
    # The package is not executed, so that no other remedy is applied.
    spec = importlib.util.spec_from_file_location(
        'mmdckd', ROOT / 'mmdckd' / '__init__.py'
    )
    sys.modules['mmdckd'] = importlib.util.module_from_spec(spec)
    import_module('mmdckd.compat').torchvision_operators()

import torch  # noqa: E402
from mmengine import dist  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.evaluator import BaseMetric  # noqa: E402
from mmengine.fileio import LocalBackend  # noqa: E402
from mmengine.hub import get_config  # noqa: E402
from mmengine.model import (  # noqa: E402
    BaseModel,
    MMDistributedDataParallel,
    convert_sync_batchnorm,
    revert_sync_batchnorm,
)
from mmengine.optim import AmpOptimWrapper  # noqa: E402
from mmengine.registry import METRICS, MODELS, DefaultScope  # noqa: E402
from mmengine.runner import (  # noqa: E402
    Runner,
    autocast,
    find_latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mmengine.utils import package_utils  # noqa: E402

FOLDER = Path(sys.argv[1])


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        outputs = self.linear(torch.stack(list(inputs)))
        return dict(loss=outputs.square().mean()) if mode == 'loss' else [outputs]


@METRICS.register_module()
class Zigzag(BaseMetric):
    """A score that is best in the second of three epochs."""

    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4] * 9)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=next(self.scores))


def run(name, checkpoint, iters=0, epochs=2, **kwargs):
    """Train; tell which files are there, what is in them and what is logged."""
    numbers = [dict(inputs=torch.tensor([float(i), 1.0])) for i in range(8)]
    loader = dict(
        dataset=numbers, batch_size=4, sampler=dict(type='DefaultSampler', shuffle=True)
    )
    by_epoch = dict(by_epoch=True, max_epochs=epochs)
    by_iteration = dict(by_epoch=False, max_iters=iters, val_interval=2)
    Zigzag.scores = iter([0.1, 0.9, 0.2, 0.3, 0.4])
    runner = Runner(
        Line(),
        work_dir=str(FOLDER / name),
        experiment_name=f'{name}{epochs}',
        train_dataloader=loader,
        train_cfg=by_iteration if iters else by_epoch,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        val_dataloader=loader,
        val_cfg={},
        val_evaluator=dict(type='Zigzag'),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', **checkpoint),
            logger=dict(type='LoggerHook', interval=1),
        ),
        randomness=dict(seed=0),
        **kwargs,
    )
    runner.train()
    (log,) = (FOLDER / name).glob('*/*.log')
    logged = [line for line in log.read_text().splitlines() if ' - INFO - ' in line]
    return files(name), [plain(line) for line in logged]


def files(name):
    found = {}
    for path in sorted((FOLDER / name).glob('*')):
        if path.suffix == '.pth':
            content = torch.load(path, weights_only=False)
            content.get('meta', {}).pop('time', None)
            content.get('meta', {}).pop('cfg', None)
            content.get('message_hub', {}).get('runtime_info', {}).pop('eta', None)
            found[plain(path.name)] = describe(content)
        elif path.is_file():
            found[plain(path.name)] = plain(path.read_text())
    return found


def describe(value):
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if hasattr(value, 'data') and hasattr(value, 'max_length'):  # a history
        return type(value).__name__, len(value.data[0])
    return type(value).__name__, plain(str(value))


def plain(text):
    """Without the folder, dates, times and seeds of a process."""
    text = text.replace(str(FOLDER), 'FOLDER')
    text = re.sub(r'-[0-9a-f]{8}\.pth', '-HASH.pth', text)
    text = re.sub(
        r'\d{8}_\d{6}|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|\b0x[0-9a-f]+', 'T', text
    )
    return re.sub(r'(time|eta|memory)\S*: *\S+', r'\1', text)


def every_epoch():
    return run('epochs', dict(interval=1))


def resumed_from_latest():
    shutil.copytree(
        FOLDER / 'epochs', FOLDER / 'resumed', ignore=shutil.ignore_patterns('20*')
    )
    return run('resumed', dict(interval=1), epochs=3, resume=True)


def few_kept_and_the_best():
    hook = dict(interval=1, max_keep_ckpts=1, save_best='score', rule='greater')
    return run('best', hook, epochs=3)


def best_of_auto():
    return run('auto', dict(interval=2, save_best='auto', rule='less'), epochs=3)


def last_alone():
    return run('last', dict(interval=5, save_last=True))


def no_last():
    return run('no_last', dict(interval=5, save_last=False))


def by_iteration():
    hook = dict(by_epoch=False, interval=2, max_keep_ckpts=2, save_best='score')
    return run('iterations', dict(hook, rule='greater'), iters=7)


def published():
    return run('published', dict(interval=1, published_keys=['meta', 'state_dict']))


def latest_in_a_folder_without_any():
    return find_latest_checkpoint(str(FOLDER))


def latest_elsewhere():
    (FOLDER / 'last_checkpoint').write_text('/elsewhere/epoch_9.pth')
    return find_latest_checkpoint(str(FOLDER))


def saved_and_loaded():
    path, model = str(FOLDER / 'new' / 'line.pth'), Line()
    model.linear.weight.data.fill_(2.0)
    save_checkpoint(dict(state_dict=model.state_dict(), meta=dict(epoch=3)), path)
    other = Line()
    checkpoint = load_checkpoint(other, path)
    return describe(checkpoint), other.linear.weight.tolist()


def missing_checkpoint():
    load_checkpoint(Line(), str(FOLDER / 'nowhere.pth'))


def checkpoint_of_another_network():
    torch.save(dict(state_dict=dict(other=torch.zeros(1))), FOLDER / 'other.pth')
    load_checkpoint(Line(), str(FOLDER / 'other.pth'), strict=True)


def text_of_a_backend():
    LocalBackend().put_text('text', str(FOLDER / 'texts' / 'a.txt'))
    LocalBackend().put(b'bytes', str(FOLDER / 'texts' / 'b.bin'))
    return sorted(path.name for path in (FOLDER / 'texts').iterdir())


def amp():
    AmpOptimWrapper(optimizer=torch.optim.SGD(Line().parameters(), lr=1.0))


def float16():
    with autocast(dtype=torch.float16):
        pass


def launched():
    os.environ.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1')
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
    dist.init_dist('pytorch', backend='gloo')


def wrapped_for_a_device():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        MMDistributedDataParallel(module=Line(), device_ids=[0])
    finally:
        torch.distributed.destroy_process_group()


def synchronized_batchnorm():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.ReLU())
    torch.nn.init.uniform_(network[0].weight.data.fill_(3.0), 3.0, 3.0)
    there = convert_sync_batchnorm(network, 'torch')
    back = revert_sync_batchnorm(there)
    return type(there[0]).__name__, type(back[0]).__name__, describe(back.state_dict())


def config_that_inherits():
    (FOLDER / 'base.py').write_text('model = dict(type="A", depth=1)')
    (FOLDER / 'child.py').write_text("_base_ = 'base.py'\nmodel = dict(depth=2)")
    return Config.fromfile(FOLDER / 'child.py').to_dict()


def base_of(name):
    (FOLDER / 'base_of.py').write_text(f'_base_ = {name!r}')
    return Config.fromfile(FOLDER / 'base_of.py').to_dict()


def base_of_mmpretrain():
    return base_of('mmpretrain::_base_/schedules/imagenet_bs256.py')


def base_without_folder():
    return base_of('mmpretrain::imagenet_bs256.py')


def base_of_mmcls():
    return base_of('mmcls::_base_/default_runtime.py')


def base_of_no_package():
    return base_of('nothing::a/b.py')


def config_of_mmcls():
    def call_command(command):
        raise RuntimeError(' '.join(command[1:]))

    package_utils.call_command = call_command
    get_config('mmcls::resnet/resnet18_8xb32_in1k.py')


def built():
    return type(MODELS.build(dict(type='BaseDataPreprocessor'))).__name__


def built_in_a_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = dict(type='LinearClsHead', num_classes=2, in_channels=2)
        return type(MODELS.build(cfg)).__module__


def name_of_mmdckd_without_its_scope():
    MODELS.build(dict(type='DCKDLoss'))


def unknown_name():
    MODELS.build(dict(type='NoSuchModel'))


SITUATIONS = [
    every_epoch,
    resumed_from_latest,
    few_kept_and_the_best,
    best_of_auto,
    last_alone,
    no_last,
    by_iteration,
    published,
    latest_in_a_folder_without_any,
    latest_elsewhere,
    saved_and_loaded,
    missing_checkpoint,
    checkpoint_of_another_network,
    text_of_a_backend,
    amp,
    float16,
    launched,
    wrapped_for_a_device,
    synchronized_batchnorm,
    config_that_inherits,
    base_of_mmpretrain,
    base_without_folder,
    base_of_mmcls,
    base_of_no_package,
    config_of_mmcls,
    built,
    built_in_a_scope,
    name_of_mmdckd_without_its_scope,
    unknown_name,
]

if __name__ == '__main__':
    outcomes = dict(mmdckd='mmdckd.registry' in sys.modules)
    for situation in SITUATIONS:
        try:
            outcomes[situation.__name__] = situation()
        except Exception as error:
            outcomes[situation.__name__] = type(error).__name__, plain(str(error))
    print(json.dumps(outcomes))
