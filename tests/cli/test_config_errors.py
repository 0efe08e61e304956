# Copyright (c) mmdckd contributors. All rights reserved.
"""What tools/train.py says of a config with something wrong in it."""

import contextlib
import json
import os.path as osp
import re

import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import MMSeparateDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, Registry
from mmengine.runner import Runner

from helpers.commands import REPO
from mmdckd.cli import train
from mmdckd.cli.config_errors import naming_config_keys
from mmdckd.cli.config_keys import check_keys
from mmdckd.cli.run_config import check_wrapper
from mmdckd.engine.runner.building import build_runner

DML = osp.join(REPO, 'configs', 'dml', 'dml_r18_digits.py')


@pytest.fixture
def message(tmp_path, monkeypatch):
    """How training with a changed config ends."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.chdir(REPO)

    def train_with(**changes):
        cfg = Config.fromfile(DML)
        cfg.train_dataloader.dataset.indices = 64
        cfg.merge_from_dict(
            {key.replace('__', '.'): value for key, value in changes.items()}
        )
        path = tmp_path / 'changed.json'
        path.write_text(json.dumps(cfg.to_dict()))
        with pytest.raises(SystemExit) as end:
            train.main([str(path), '--work-dir', str(tmp_path / 'run')])
        return end.value.code

    return train_with


@pytest.mark.parametrize(
    'changes, expected',
    [
        (dict(train_cfg__max_epoch=3), '`train_cfg`: TypeError: .*max_epoch'),
        (
            dict(train_dataloader__dataset__split='trian'),
            '`train_dataloader.dataset`: .*trian',
        ),
        (
            dict(val_dataloader__sampler__type='Sampler9'),
            '`val_dataloader.sampler`: KeyError: .*Sampler9',
        ),
        (
            dict(model__architecture__head__in_channels=17),
            "Invalid `model`: .* 'student0', which raises RuntimeError: mat1",
        ),
        (
            dict(model__architecture__backbone__depth=19),
            '`model.architecture.backbone`: KeyError: .*19',
        ),
        (
            dict(model__distiller__collective_losses__loss_dckd__tau=-1.0),
            '`model.distiller.collective_losses.loss_dckd`: Invalid `tau`',
        ),
        (
            dict(optim_wrapper__optimizer__lr=-1.0),
            '`optim_wrapper.*`: Invalid learning rate: -1',
        ),
        (
            dict(param_scheduler=[dict(type='Nothing')]),
            r'`param_scheduler.*`: KeyError: .*Nothing',
        ),
        (
            dict(default_hooks__logger__interva=3),
            '`default_hooks.logger`: TypeError: .*interva',
        ),
        (dict(randomness=dict(sede=3)), '`randomness`: TypeError: .*sede'),
        (dict(val_evaluator__topk=-3), '`val_evaluator`: '),
        (
            dict(train_dataloader__num_workers=10**9),
            'Invalid `train_dataloader.num_workers`: expected a .* got 1000000000',
        ),
        (
            dict(train_dataloader__num_workers=True),
            'Invalid `train_dataloader.num_workers`: expected a .* got True',
        ),
        (
            dict(train_dataloader=3),
            'Invalid `train_dataloader`: expected a dict, got 3',
        ),
        (dict(default_scope=3), 'Invalid `default_scope`: expected .* package, got 3'),
        (
            dict(default_scope='mmpretrian'),
            "Invalid `default_scope`: expected .*, got 'mmpretrian'",
        ),
        (
            dict(train_cfg__max_epochs=0),
            'Invalid `train_cfg.max_epochs`: expected a whole .* got 0',
        ),
        (
            dict(data_preprocessor__std=[1.0, 1.0]),
            'Invalid `data_preprocessor`: expected as many .* got 3 and 2',
        ),
        (dict(val_dataloader__sampler=5), '`val_dataloader`: '),
        (dict(val_evaluator=[{}]), '`val_evaluator`: KeyError'),
        (dict(randomness=3), 'Invalid `randomness`: expected a dict, got 3'),
        (dict(default_scope=0), 'Invalid `default_scope`: expected .* package, got 0'),
    ],
)
def test_names_the_key(message, changes, expected):
    code = message(**changes)
    assert re.match(f'error: {expected}', code), code
    assert 'Traceback' not in code


def test_keeps_the_traceback_in_the_work_folder(message, tmp_path):
    code = message(train_cfg__max_epoch=3)
    path = tmp_path / 'run' / 'traceback_rank0.txt'
    assert code.endswith(f'\n(traceback: {path})')
    assert 'Traceback (most recent call last)' in path.read_text()


def test_a_folder_that_cannot_be_written_to(message, tmp_path):
    (tmp_path / 'run').write_text('a file is here')
    code = message()
    assert re.match(r'error: Invalid `work_dir`: expected a folder .*/run', code)


@pytest.mark.parametrize(
    'error, remedy',
    [
        (
            RuntimeError(
                'DataLoader worker (pid 7) is killed by signal: Bus error. '
                "It is possible that dataloader's workers are out of shared "
                'memory.'
            ),
            'num_workers=0',
        ),
        (
            RuntimeError(
                'unable to write to file </torch_123_4>: No space left on device (28)'
            ),
            '/dev/shm',
        ),
        (MemoryError(), 'lower `train_dataloader.batch_size`'),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            'lower `train_dataloader.batch_size`',
        ),
        (RuntimeError('CUDA out of memory.'), 'lower `train_dataloader.batch_size`'),
        (
            RuntimeError('DataLoader worker (pid(s) 7) exited unexpectedly'),
            'lower `train_dataloader.batch_size`',
        ),
    ],
)
def test_too_little_memory_has_a_remedy(error, remedy, tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path)))
    with pytest.raises(SystemExit) as end, naming_config_keys(cfg):
        raise error
    assert remedy in end.value.code


def test_a_transform_by_its_place(message):
    code = message(
        train_dataloader__dataset__pipeline=[
            dict(type='PackInputs'),
            dict(type='RandomCrop', crop_size=8),
        ]
    )
    assert code.startswith('error: `train_dataloader.dataset.pipeline[1]`: ')


def test_a_key_that_nothing_reads():
    with pytest.raises(SystemExit, match="`optim_wraper`.*'optim_wrapper'"):
        check_keys(Config(dict(model={}, optim_wraper={})))
    with pytest.raises(SystemExit, match='`model`: .* got none'):
        check_keys(Config(dict(modle={})))
    # What a config calls its own things, and a key that is there as well.
    check_keys(Config(dict(model={}, train_pipeline=[], data_root='', dataset_type='')))
    check_keys(Config(dict(model={}, optim_wraper={}, optim_wrapper={})))


@pytest.mark.parametrize(
    'key, value',
    [
        ('train_cfg.max_iters', 0),
        ('env_cfg', 3),
        ('test_cfg', 'TestLoop'),
        ('test_evaluator', 'Accuracy'),
        ('default_hooks.logger', 3),
    ],
)
def test_a_value_of_another_kind(key, value):
    cfg = Config(dict(model={}))
    cfg.merge_from_dict({key: value})
    with pytest.raises(SystemExit, match=f'Invalid `{key}`: .* got {value!r}'):
        check_keys(cfg)


@pytest.mark.parametrize('scope', ['', '.', 'no.package', 'mmpretrian'])
def test_a_scope_that_is_no_package(scope):
    with pytest.raises(SystemExit, match=f'`default_scope`: .* got {scope!r}'):
        check_keys(Config(dict(model={}, default_scope=scope)))


@pytest.mark.parametrize(
    'key, name',
    [
        ('strategy', 'FSDPStrategy'),
        ('strategy', 'mmengine.DeepSpeedStrategy'),
        ('model_wrapper_cfg', 'MMFullyShardedDataParallel'),
        ('model_wrapper_cfg', 'MMSeparateDistributedDataParallel'),
    ],
)
def test_what_shards_a_model_is_refused(message, key, name):
    code = message(**{key: dict(type=name)})
    assert code.startswith(f'error: Invalid `{key}.type`: expected MMDistributed')
    assert f"got '{name}'. Remove `{key}`." in code


@pytest.mark.parametrize(
    'name', ['ColossalAIStrategy', 'CollosalAIModelWrapper', 'MMDeepSpeedEngineWrapper']
)
def test_so_are_others_that_are_not_installed(name):
    for cfg in (dict(strategy=name), dict(model_wrapper_cfg=dict(type=name))):
        with pytest.raises(SystemExit, match=f'got {name!r}. Remove'):
            check_wrapper(Config(cfg))


def test_a_lazy_config_does_not_shard_a_model_either():
    cfg = Config(dict(model_wrapper_cfg=dict(type=MMSeparateDistributedDataParallel)))
    with pytest.raises(SystemExit, match='Remove `model_wrapper_cfg`'):
        check_wrapper(cfg)


@HOOKS.register_module()
class FailingHook(Hook):
    def __init__(self, size):
        self.size = size

    def after_train_iter(self, runner, *args, **kwargs):
        raise RuntimeError('a hook fails')


@pytest.fixture
def watched():
    """A model of two parts, and how an action inside a watch ends."""
    cfg = Config(dict(model=dict(type='Outer', part=dict(type='Inner', size=3))))

    def end_of(action):
        with pytest.raises(SystemExit) as end, naming_config_keys(cfg):
            action(cfg.model)
        return end.value.code.partition('\n')[0]

    return end_of


def test_the_innermost_part_that_fails_is_named(watched):
    def fail(size):
        raise KeyError(size)

    registry = Registry('watched')
    registry.register_module('Outer', module=lambda part: registry.build(part))
    registry.register_module('Inner', module=fail)
    assert watched(registry.build).startswith('error: `model.part`: KeyError: 3')
    assert Registry.build.__module__ == Registry.__module__
    assert not hasattr(Registry.build, '__wrapped__')


def test_a_failure_that_was_caught_is_not_named(watched):
    registry = Registry('watched')

    def fall_back(cfg):
        with contextlib.suppress(KeyError):
            registry.build(cfg)
        raise TypeError('of something else')

    assert watched(fall_back) == 'error: TypeError: of something else'


def test_an_error_of_no_runner_is_left_as_it_is():
    with pytest.raises(KeyError), naming_config_keys():
        raise KeyError('of something else')


def test_what_comes_after_a_run_is_not_blamed_on_it(tmp_path):
    cfg = Config.fromfile(DML)
    cfg.merge_from_dict(
        {
            'launcher': 'none',
            'work_dir': str(tmp_path),
            'train_cfg.max_epochs': 1,
            'train_dataloader.dataset.indices': 64,
            'val_dataloader.dataset.indices': 40,
        }
    )
    with pytest.raises(RuntimeError, match='^later$'), naming_config_keys():
        build_runner(cfg).train()
        raise RuntimeError('later')


def test_all_is_as_it_was_afterwards():
    owners = (Registry, Runner, Compose, Evaluator, OptimWrapper)
    before = [dict(vars(owner)) for owner in owners]
    with naming_config_keys(Config()):
        assert before != [dict(vars(owner)) for owner in owners]
    assert before == [dict(vars(owner)) for owner in owners]


def test_a_hook_is_named_by_its_part(message):
    code = message(custom_hooks=[dict(type='mmengine.FailingHook', size=3)])
    assert code.startswith('error: `custom_hooks[0]`: RuntimeError: a hook fails')
