# Copyright (c) mmdckd contributors. All rights reserved.
"""Compares the config of a resumed run with the one in its checkpoint."""

from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.config import Config

from mmdckd.io.config_text import parse_config_text

#: The config keys that decide how a run trains.
COMPARED = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'train_cfg',
    'val_dataloader',
    'val_cfg',
    'val_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'default_hooks',
    'custom_hooks',
    'randomness',
    'sync_bn',
    'model_wrapper_cfg',
    'find_unused_parameters',
)
#: Settings that change how fast a run computes, but not what.
PASSED_OVER = (
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'collate_fn',
)
#: Hooks that only display something.
SHOWING = ('timer', 'logger', 'visualization', 'data_time', 'cohort_summary')
#: What the iterations of an epoch are called in the log.
EPOCH_LENGTH = 'iterations of an epoch'
#: Settings that learning rates depend on.
SCHEDULE = (
    'optim_wrapper',
    'param_scheduler',
    'train_cfg.max_',
    'train_cfg.by_epoch',
    'auto_scale_lr',
    EPOCH_LENGTH,
)
_NOT_SET = '(not set)'


class Difference(NamedTuple):
    """A setting that differs between two runs.

    Attributes:
        key (str): The config key, or what differs without being a setting.
        before (Any): Its value in the checkpoint.
        now (Any): Its value in the config of the run that resumes.
    """

    key: str
    before: Any
    now: Any

    @property
    def is_schedule(self) -> bool:
        """bool: Whether learning rates depend on the setting."""
        return self.key.startswith(SCHEDULE)

    def __str__(self) -> str:
        line = f'{self.key}: {_show(self.before)} -> {_show(self.now)}'
        if self.key == 'randomness.seed':
            line += " (the checkpoint's is used)"
        return line


def compare_settings(text: Optional[str], cfg: Config) -> List[Difference]:
    """Compare the config of a run with the one in a checkpoint.

    Args:
        text (str, optional): The text of the config in the checkpoint.
        cfg (Config): The config of the run.

    Returns:
        list[Difference]: The differences in settings that a result depends on.

    Raises:
        ValueError: If the text is not a config.
    """
    if not text:
        return []
    before = parse_config_text(text)
    # Parsed from text, so that values have the same types as the checkpoint's.
    now = parse_config_text(cfg.pretty_text)
    one, other = (
        _flatten({key: each[key] for key in COMPARED if key in each})
        for each in (before, now)
    )
    keys = list(dict.fromkeys([*one, *other]))
    differences = [
        Difference(key, one.get(key, _NOT_SET), other.get(key, _NOT_SET))
        for key in keys
        if not _is_passed_over(key)
    ]
    return [
        each
        for each in differences
        # NaN differs from itself.
        if each.before != each.now and repr(each.before) != repr(each.now)
    ]


def describe(differences: List[Difference], path: str) -> str:
    """Describe the differences, and which setting is used."""
    lines = '\n'.join(f'  {each}' for each in differences)
    return (
        f'{path} was trained with other settings. From the next step on, those of '
        'this run are used, except for the seed; learning rates continue as if '
        'this schedule had applied from the start (checkpoint -> '
        f'this run):\n{lines}'
    )


def _flatten(value: Any, key: str = '') -> Dict[str, Any]:
    if isinstance(value, dict) and value:
        items = [
            (f'{key}.{name}' if key else str(name), each)
            for name, each in value.items()
        ]
    elif isinstance(value, (list, tuple)) and any(
        isinstance(each, dict) for each in value
    ):
        items = [(f'{key}[{index}]', each) for index, each in enumerate(value)]
    else:
        return {key: value}
    flat: Dict[str, Any] = {}
    for name, each in items:
        flat.update(_flatten(each, name))
    return flat


def _is_passed_over(key: str) -> bool:
    parts = key.split('.')
    showing = parts[0] == 'default_hooks' and len(parts) > 1 and parts[1] in SHOWING
    return parts[-1] in PASSED_OVER or showing


def _show(value: Any) -> str:
    text = value if value is _NOT_SET else repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
