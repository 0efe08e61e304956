# Copyright (c) mmdckd contributors. All rights reserved.
from inspect import signature
from typing import Any, Iterator, Tuple

from mmengine.hooks import CheckpointHook
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import Runner

from mmdckd.errors import did_you_mean, invalid, looks_misspelled

_CUSTOM_KEYS = 'optim_wrapper.paramwise_cfg.custom_keys'
_FACTORS = ('lr_mult', 'decay_mult')
#: What is read of the parts of a config that MMEngine looks into by name.
_READ = {
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'auto_scale_lr': ('base_batch_size', 'enable'),
}
_PARAMWISE = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)


def check_ignored_settings(runner: Runner) -> None:
    """Check that no setting looks like a misspelled one that MMEngine ignores, and
    that the hook that saves checkpoints has none that ends the run at the first.

    Ignored are unknown settings of ``env_cfg``, ``auto_scale_lr``, and, with MMEngine's
    default constructor, of ``paramwise_cfg`` and its ``custom_keys``. Other names are
    left alone: optimizers such as MMPretrain's LARS read some of their own.

    Args:
        runner (Runner): A runner that is about to train.

    Raises:
        ValueError: If there is such a setting.
    """
    for key, settings, known in _parts(runner):
        for name, value in settings.items():
            if looks_misspelled(name, known):
                raise _unknown(f'{key}.{name}', value, name, known)
    known = tuple(signature(CheckpointHook).parameters)[:-1]  # without **kwargs
    own = signature(runner.save_checkpoint).parameters
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            for name in hook.args.keys() - own.keys():
                key = f'default_hooks.checkpoint.{name}'
                raise _unknown(key, hook.args[name], name, known)


def _parts(runner: Runner) -> Iterator[Tuple[str, dict, Tuple[str, ...]]]:
    """Yield parts of a config with their keys, and with what is read of them."""
    for key, known in _READ.items():
        yield key, runner.cfg.get(key) or {}, known
    optim_wrapper: Any = runner.cfg.get('optim_wrapper') or {}
    if isinstance(optim_wrapper, dict) and _is_default(optim_wrapper):
        paramwise = optim_wrapper.get('paramwise_cfg') or {}
        yield 'optim_wrapper.paramwise_cfg', paramwise, _PARAMWISE
        for name, factors in (paramwise.get('custom_keys') or {}).items():
            yield f'{_CUSTOM_KEYS}[{name!r}]', factors, _FACTORS


def _unknown(key: str, value: Any, name: str, known: Tuple[str, ...]) -> ValueError:
    expected = f'one of {", ".join(known)}'
    return invalid(key, expected, value, did_you_mean(name, known))


def _is_default(optim_wrapper: dict) -> bool:
    """Tell whether MMEngine's default constructor reads ``paramwise_cfg``."""
    name = optim_wrapper.get('constructor', 'DefaultOptimWrapperConstructor')
    kind = name if isinstance(name, type) else OPTIM_WRAPPER_CONSTRUCTORS.get(name)
    return kind is DefaultOptimWrapperConstructor
