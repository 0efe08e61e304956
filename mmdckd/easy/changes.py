# Copyright (c) mmdckd contributors. All rights reserved.
"""Changes that a user makes to a generated config."""

from dataclasses import dataclass, field
from typing import Any, Dict

from mmengine.config import Config

from mmdckd.engine.speed import make_fast
from mmdckd.errors import did_you_mean, looks_misspelled

#: Keys that ``distill`` sets itself, and the argument that controls each.
OWN_KEYS = dict(
    work_dir='work_dir',
    resume='work_dir, whose run is resumed automatically',
    load_from='teacher, student and pretrained',
    launcher='mmdckd train with the generated config',
)


@dataclass(frozen=True)
class Changes:
    """Changes to a generated config.

    Attributes:
        options (Dict[str, Any]): Settings by dotted key.
        fast (bool): Whether to trade bitwise equal results for speed; see
            :func:`~mmdckd.engine.speed.make_fast`.

    Raises:
        ValueError: If an option is set by an argument of ``distill``.
    """

    options: Dict[str, Any] = field(default_factory=dict)
    fast: bool = False

    def __post_init__(self) -> None:
        for key in self.options:
            top = key.split('.')[0]
            if top in OWN_KEYS:
                raise ValueError(
                    f'Invalid `cfg_options`: expected no `{top}`, which is set by '
                    f'{OWN_KEYS[top]}.'
                )

    def __call__(self, cfg: Config) -> None:
        """Apply the changes to a config.

        Args:
            cfg (Config): The config, changed in place.

        Raises:
            ValueError: If a key looks misspelled, or a value does not fit.
        """
        for key in self.options:
            top = key.split('.')[0]
            if looks_misspelled(top, cfg):
                raise ValueError(
                    f'Invalid `cfg_options`: expected a key of the config, got '
                    f'{top!r}.{did_you_mean(top, cfg)}'
                )
        try:
            cfg.merge_from_dict(self.options)
        except (KeyError, TypeError) as error:
            raise ValueError(f'Invalid `cfg_options`: {error}') from error
        if self.fast:
            make_fast(cfg)

    def without_model(self) -> 'Changes':
        """Return the changes without those to the model, for a teacher that is
        trained first."""
        options = {
            key: value
            for key, value in self.options.items()
            if key.split('.')[0] != 'model'
        }
        return Changes(options, self.fast)
