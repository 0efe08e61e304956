# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks of a config that MMEngine does not make before it builds."""

from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from mmdckd.errors import did_you_mean, looks_misspelled
from mmdckd.values import is_whole

#: The runner's methods, and the config key that each of them serves.
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

#: All top-level keys that a runner reads.
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

#: Keys that a run sets itself in each phase before the last one.
OWN_KEYS = ('work_dir', 'experiment_name', 'load_from')

#: Keys whose value is a dict or None.
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
    """Exit if a config has a mistake that MMEngine would ignore or blame on
    another key.

    Such mistakes are a missing model, a value of the wrong type, a misspelled
    key, a scope that is not a package, and a training without any steps.
    """
    if cfg.get('model') is None:
        raise SystemExit(
            'error: Invalid `model`: expected a dict that describes the network to '
            'train, got none.'
        )
    check_types(cfg)
    check_spelling(cfg)
    check_scope('mmengine' if cfg.get('default_scope') is None else cfg.default_scope)
    for key in ('max_epochs', 'max_iters'):
        length = (cfg.get('train_cfg') or {}).get(key, 1)
        if not is_whole(length, least=1):
            raise SystemExit(
                f'error: Invalid `train_cfg.{key}`: expected a whole number '
                f'of at least 1, got {length!r}.'
            )


def check_types(cfg: Config) -> None:
    """Exit if a part of a config that should be a dict is not one."""
    for key in DICT_KEYS:
        if not isinstance(cfg.get(key), (dict, type(None))):
            raise SystemExit(
                f'error: Invalid `{key}`: expected a dict, got {cfg[key]!r}.'
            )
    for key, hook in (cfg.get('default_hooks') or {}).items():
        if not isinstance(hook, (dict, type(None))):
            raise SystemExit(
                f'error: Invalid `default_hooks.{key}`: expected a dict, or None '
                f'to leave the hook out, got {hook!r}.'
            )
    for key in ('val_evaluator', 'test_evaluator'):
        if not isinstance(cfg.get(key), (dict, list, tuple, type(None))):
            raise SystemExit(
                f'error: Invalid `{key}`: expected a dict or a list of dicts, got '
                f'{cfg[key]!r}.'
            )


def check_spelling(cfg: Config) -> None:
    """Exit if a key looks like a misspelled key of the runner."""
    for key in cfg:
        unset = [known for known in RUNNER_KEYS if known not in cfg]
        if key not in RUNNER_KEYS and looks_misspelled(key, unset):
            raise SystemExit(
                f'error: Invalid `{key}`: expected a key that the runner reads.'
                f'{did_you_mean(key, unset)}'
            )


def check_phases(cfg: Config) -> None:
    """Exit if a phase has a setting that nothing reads."""
    phases = cfg.get('phases') or ()
    for index, phase in enumerate(phases):
        for key in OWN_KEYS:
            if index < len(phases) - 1 and phase.get(key) is not None:
                raise SystemExit(
                    f'error: Invalid `phases[{index}].{key}`: expected none, as each '
                    'phase before the last one starts anew in a folder of its own, got '
                    f'{phase[key]!r}.'
                )
        for key in dict.fromkeys(key.split('.')[0] for key in phase):
            if key in RUNNER_KEYS or key in cfg or key == 'times':
                continue
            raise SystemExit(
                f'error: Invalid `phases[{index}].{key}`: expected a key that the '
                f'runner reads.{did_you_mean(key, RUNNER_KEYS)}'
            )


def check_scope(scope: Any) -> None:
    """Exit if the default scope is not a package."""
    known = isinstance(scope, str) and (
        scope in MODELS.children or (scope.isidentifier() and find_spec(scope))
    )
    if not known:
        raise SystemExit(
            'error: Invalid `default_scope`: expected the name of an installed '
            f"package, got {scope!r}. Most configs set `default_scope='mmpretrain'`."
        )
