# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks of a config that MMEngine does not make before it builds."""

from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

#: Method of MMEngine's runner to the key of the config that it is for.
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
    _init_model_weights='model',
)

#: What a runner reads of a config, besides.
RUNNER_KEYS = (
    *dict.fromkeys(RUNNER_METHODS.values()),
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
    'phases',
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
    'randomness',
    'env_cfg',
)


def check_keys(cfg: Config) -> None:
    """Exit where what MMEngine would pass over, or say of another key, is
    wrong.

    These are a config without a model, a part of another type, a key that is
    nearly one that a runner reads, a scope that is no package, and a run of no
    length.
    """
    if 'model' not in cfg:
        raise SystemExit('error: the config has no `model`')
    check_types(cfg)
    check_spelling(cfg)
    check_scope('mmengine' if cfg.get('default_scope') is None else cfg.default_scope)
    for key in ('max_epochs', 'max_iters'):
        length = (cfg.get('train_cfg') or {}).get(key, 1)
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise SystemExit(
                f'error: `train_cfg.{key}` is a whole number '
                f'from 1 on, but got {length!r}'
            )


def check_types(cfg: Config) -> None:
    """Exit where a part of a config is no dict and should be one."""
    for key in DICT_KEYS:
        if not isinstance(cfg.get(key), (dict, type(None))):
            raise SystemExit(f'error: `{key}` is a dict, but got {cfg[key]!r}')
    for key, hook in (cfg.get('default_hooks') or {}).items():
        if not isinstance(hook, (dict, type(None))):
            raise SystemExit(
                f'error: `default_hooks.{key}` is a dict, or '
                f'None to leave it out, but got {hook!r}'
            )
    for key in ('val_evaluator', 'test_evaluator'):
        if not isinstance(cfg.get(key), (dict, list, tuple, type(None))):
            raise SystemExit(
                f'error: `{key}` is a dict or a list of dicts, but got {cfg[key]!r}'
            )


def check_spelling(cfg: Config) -> None:
    """Exit where a key is nearly one that a runner reads."""
    for key in cfg:
        near = get_close_matches(key, RUNNER_KEYS, 1, 0.85)
        if near and key not in RUNNER_KEYS and near[0] not in cfg:
            raise SystemExit(
                f'error: `{key}` is read by nothing. Did you mean `{near[0]}`?'
            )


def check_phases(cfg: Config) -> None:
    """Exit where a phase has a setting that nothing reads."""
    for index, phase in enumerate(cfg.get('phases') or ()):
        for key in dict.fromkeys(key.split('.')[0] for key in phase):
            if key in RUNNER_KEYS or key in cfg or key == 'times':
                continue
            near = get_close_matches(key, RUNNER_KEYS, 1)
            raise SystemExit(
                f'error: `phases[{index}].{key}` is read by nothing.'
                + (f' Did you mean `{near[0]}`?' if near else '')
            )


def check_scope(scope: Any) -> None:
    """Exit where the default scope is no package."""
    if not isinstance(scope, str) or not (scope in MODELS.children or find_spec(scope)):
        raise SystemExit(
            f'error: `default_scope`={scope!r} is no package; '
            "most configs have `default_scope='mmpretrain'`"
        )
