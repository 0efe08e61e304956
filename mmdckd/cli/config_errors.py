# Copyright (c) mmdckd contributors. All rights reserved.
"""Which part of a config an error comes from, wherever it was raised."""

import re
import traceback
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from linecache import getline
from types import FrameType
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.registry import MODELS, DefaultScope, build_functions
from mmengine.runner import BaseLoop, Runner, TestLoop, ValLoop
from torch import nn
from torch.utils.data.dataloader import DataLoader, _BaseDataLoaderIter

from mmdckd.cli.errors import keep_traceback, message_of

#: What a method of MMEngine's runner is busy with.
RUNNER_METHODS = dict(
    setup_env='env_cfg',
    set_randomness='randomness',
    build_logger='log_level',
    build_visualizer='visualizer',
    build_log_processor='log_processor',
    build_model='model',
    wrap_model='model_wrapper_cfg',
    register_default_hooks='default_hooks',
    register_custom_hooks='custom_hooks',
    build_train_loop='train_cfg',
    build_val_loop='val_cfg',
    build_test_loop='test_cfg',
    build_optim_wrapper='optim_wrapper',
    scale_lr='auto_scale_lr',
    build_param_scheduler='param_scheduler',
    load_or_resume='load_from',
)

#: What a runner reads of a config, besides.
RUNNER_KEYS = (
    *RUNNER_METHODS.values(),
    'work_dir',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
    'data_preprocessor',
    'default_scope',
    'launcher',
    'resume',
    'experiment_name',
    'runner_type',
    'custom_imports',
    'sync_bn',
    'find_unused_parameters',
    'compile',
)

#: What of it is a dict, or None.
DICT_KEYS = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'optim_wrapper',
    'default_hooks',
    'data_preprocessor',
)

#: What to do where the machine has too little of something, by what errors
#: that come of it say.
_REMEDIES = (
    (
        r'shared memory|Bus error|/dev/shm|/torch_\d+',
        ' The workers that load data hand batches over in shared memory '
        '(/dev/shm), which is full: make it larger, or set '
        '`train_dataloader.num_workers=0` and `val_dataloader.num_workers=0`.',
    ),
    (
        r"^MemoryError|out of memory|allocate memory|can't start new thread|"
        r'Worker.* (exited unexpectedly|is killed by signal: Killed)',
        ' The memory is not enough: lower `train_dataloader.batch_size`, '
        '`train_dataloader.num_workers` or the number of students, or raise the '
        'limit of the process.',
    ),
)


@contextmanager
def naming_config_keys(cfg: Config, folder: Optional[str] = None) -> Iterator[None]:
    """Exit with one message where something fails that a config describes.

    The message names the key that it comes from, and the file that has the
    traceback.

    Args:
        cfg (Config): The config of the run.
        folder (str, optional): The folder of that file. Defaults to None,
            that of temporary files.
    """
    parts = cfg.to_dict()
    try:
        yield
    except Exception as error:
        key = find_key(error, parts)
        reason = message_of(error)
        named = re.match(r'(?:Invalid )?`(\w+)', reason)
        if named and named[1] in RUNNER_KEYS or reason.startswith('the checkpoint '):
            key = None  # the message begins with what is wrong
        if not isinstance(error, ValueError):
            reason = f'{type(error).__name__}: {reason}'
        if isinstance(error, KeyError) and not cfg.get('default_scope'):
            reason += (
                ' `default_scope` is not set; most configs have '
                "`default_scope='mmpretrain'`."
            )
        reason += _remedy_for(error)
        raise SystemExit(
            f'error: {f"`{key}`: " if key else ""}{reason}\n{keep_traceback(folder)}'
        ) from error


def check_keys(cfg: Config) -> None:
    """Exit where what MMEngine would pass over, or say of another key, is
    wrong.

    These are a config without a model, a key that is nearly one that a runner
    reads, a scope that is no package, and a run of no length.
    """
    if 'model' not in cfg:
        raise SystemExit('error: the config has no `model`')
    for key in DICT_KEYS:
        if not isinstance(cfg.get(key), (dict, type(None))):
            raise SystemExit(f'error: `{key}` is a dict, but got {cfg[key]!r}')
    for key, hook in (cfg.get('default_hooks') or {}).items():
        if not isinstance(hook, (dict, type(None))):
            raise SystemExit(
                f'error: `default_hooks.{key}` is a dict, or '
                f'None to leave it out, but got {hook!r}'
            )
    for key in cfg:
        near = get_close_matches(key, RUNNER_KEYS, 1, 0.85)
        if near and key not in RUNNER_KEYS and near[0] not in cfg:
            raise SystemExit(
                f'error: `{key}` is read by nothing. Did you mean `{near[0]}`?'
            )
    scope = cfg.get('default_scope') or 'mmengine'
    if not isinstance(scope, str) or not (scope in MODELS.children or find_spec(scope)):
        raise SystemExit(
            f'error: `default_scope`={scope!r} is no package; '
            "most configs have `default_scope='mmpretrain'`"
        )
    for key in ('val_evaluator', 'test_evaluator'):
        if not isinstance(cfg.get(key), (dict, list, tuple, type(None))):
            raise SystemExit(
                f'error: `{key}` is a dict or a list of dicts, but got {cfg[key]!r}'
            )
    for key in ('max_epochs', 'max_iters'):
        train_cfg = cfg.get('train_cfg')
        length = train_cfg.get(key, 1) if isinstance(train_cfg, dict) else 1
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise SystemExit(
                f'error: `train_cfg.{key}` is a whole number '
                f'from 1 on, but got {length!r}'
            )


def find_key(error: BaseException, cfg: dict) -> Optional[str]:
    """Find the key of a config that an error comes from.

    Args:
        error (BaseException): The error, as it was caught.
        cfg (dict): The config, as it was read.

    Returns:
        str, optional: The key with dots, the innermost that was being built
        or run; None where nothing was.
    """
    key, stage = None, None
    frames = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        frames.append(frame)
        owner = frame.f_locals.get('self')
        if isinstance(owner, BaseLoop):
            stage = _stage(owner)
        key = _key_of_frame(frame, owner, stage, cfg, key) or key
        if isinstance(owner, Runner) and frame.f_code.co_name == '__init__':
            # A method that is called with the wrong arguments has no frame.
            text = getline(frame.f_code.co_filename, line)
            called = re.search(r'self\.(\w+)\(', text)
            key = RUNNER_METHODS.get(called[1] if called else '', key or '') or None
    module = _running_module(frames)
    if key == 'model' and module:
        return f'model ({module})'
    return key


def _key_of_frame(
    frame: FrameType, owner: Any, stage: Optional[str], cfg: dict, key: Optional[str]
) -> Optional[str]:
    """What of the config one frame of a traceback is busy with."""
    name = frame.f_code.co_name
    if frame.f_code is build_functions.build_from_cfg.__code__:
        return _locate(frame.f_locals['cfg'], cfg, key)
    if name == 'build_dataloader' and 'dataloader' in frame.f_locals:
        return _locate(frame.f_locals['dataloader'], cfg, key)
    if name == 'build_network' and 'spec' in frame.f_locals:
        return f'model.{frame.f_locals["spec"].key}'
    if isinstance(owner, DefaultScope):
        return 'default_scope' if key is None else None
    if isinstance(owner, Runner):
        if name == 'call_hook' and 'hook' in frame.f_locals:
            return _hook_key(frame.f_locals['hook'], cfg)
        return RUNNER_METHODS.get(name)
    if isinstance(owner, BaseLoop):
        return f'{stage}_cfg'
    if isinstance(owner, (Evaluator, BaseMetric)):
        return f'{stage or "val"}_evaluator'
    if isinstance(owner, OptimWrapper):
        return 'optim_wrapper'
    if isinstance(owner, _ParamScheduler):
        return 'param_scheduler'
    if isinstance(owner, BaseDataPreprocessor):
        return 'data_preprocessor'
    if isinstance(owner, BaseModel) and name != '__init__':
        return 'model'
    if stage and isinstance(owner, (DataLoader, _BaseDataLoaderIter)):
        return f'{stage}_dataloader'
    if stage and isinstance(owner, Compose) and 't' in frame.f_locals:
        index = owner.transforms.index(frame.f_locals['t'])
        return f'{stage}_dataloader.dataset.pipeline[{index}]'
    return None


def _locate(part: Any, cfg: dict, key: Optional[str]) -> Optional[str]:
    """Find where a part of a config is; where it is twice, below ``key``."""
    found = [
        path
        for path, node in _walk(cfg)
        if node
        and isinstance(part, dict)
        and all(k in part and _same(v, part[k]) for k, v in node.items())
    ]
    below = [path for path in found if key and path.startswith(key)]
    return max(below or found[:1], key=len, default=None)


def _walk(node: Any, path: str = '') -> Iterator[Tuple[str, dict]]:
    if isinstance(node, dict):
        if path:
            yield path, node
        for key, value in node.items():
            yield from _walk(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _walk(value, f'{path}[{index}]')


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # arrays, and whatever else a config may hold
        return False


def _hook_key(hook: Hook, cfg: dict) -> str:
    for group in ('default_hooks', 'custom_hooks'):
        for path, node in _walk(cfg.get(group) or {}, group):
            if str(node.get('type')).split('.')[-1] == type(hook).__name__:
                return path
    return 'default_hooks'


def _stage(loop: BaseLoop) -> str:
    if isinstance(loop, ValLoop):
        return 'val'
    return 'test' if isinstance(loop, TestLoop) else 'train'


def _running_module(frames: List[FrameType]) -> Optional[str]:
    """The name of the innermost module that was running."""
    running = [
        frame.f_locals['self']
        for frame in frames
        if frame.f_code.co_name in ('forward', '_call_impl')
        and isinstance(frame.f_locals.get('self'), nn.Module)
    ]
    for outer in running:
        names = {module: name for name, module in outer.named_modules()}
        if running[-1] in names:
            return names[running[-1]]
    return None


def _remedy_for(error: BaseException) -> str:
    text = f'{type(error).__name__}: {error}'
    return next(
        (remedy for pattern, remedy in _REMEDIES if re.search(pattern, text, re.I)), ''
    )
