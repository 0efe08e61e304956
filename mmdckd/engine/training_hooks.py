# Copyright (c) mmdckd contributors. All rights reserved.
"""Tells the default hooks that change a training from those that watch it."""

from typing import Any, Dict

from mmengine.config import Config

from mmdckd.io.type_names import type_name

from .resumed_settings import SHOWING

#: Default hooks that only check, save or show.
_WATCHING = {
    *SHOWING,
    'check_labels',
    'check_run',
    'checkpoint',
    'cohort_statistics',
    'export',
    'limit_history',
    'loss_scale',
    'preemption',
    'runtime_info',
    'save_on_nonfinite',
    'skipped_images',
    'unlabeled_share',
}
#: Default hooks that every training has, unless its config says otherwise.
_USUAL = dict(
    exact_resume='ExactResumeHook',
    param_scheduler='ParamSchedulerHook',
    sampler_seed='DistSamplerSeedHook',
)


def training_hooks(cfg: Config) -> Dict[str, Any]:
    """Return the default hooks that make a training another one.

    They are those that do more than check, save or show, such as averaged weights
    and folds, except those that every training has. One of these counts if it is
    switched off or replaced: without ``param_scheduler``, the learning rate is
    constant.

    Args:
        cfg (Config): The config of the training.

    Returns:
        Dict[str, Any]: Names to hooks.
    """
    return {
        name: hook
        for name, hook in (cfg.to_dict().get('default_hooks') or {}).items()
        if name not in _WATCHING and not _is_usual(name, hook)
    }


def _is_usual(name: str, hook: Any) -> bool:
    if name not in _USUAL or not isinstance(hook, dict):
        return False
    if set(hook) - {'_scope_'} != {'type'}:
        return False
    return type_name(hook['type']) == _USUAL[name]
