# Copyright (c) mmdckd contributors. All rights reserved.
import re
from difflib import get_close_matches
from typing import Any, Dict, List, Set

from mmengine.logging import print_log
from torch import nn

from mmdckd.errors import looks_misspelled

KEY = 'optim_wrapper.paramwise_cfg.custom_keys'


def check_custom_keys(model: nn.Module, custom_keys: Dict[str, Any]) -> None:
    """Check that the ``custom_keys`` of an optimizer match parameters.

    MMEngine applies a key to the parameters whose names contain it, and ignores
    a key that no name contains. One kind of key is allowed to match nothing:
    the name of a single parameter without weight decay, such as
    ``.absolute_pos_embed``, because MMPretrain's schedules list those of
    several networks. The log lists the unused ones.

    Args:
        model (nn.Module): The model.
        custom_keys (Dict[str, dict]): The keys and their settings.

    Raises:
        ValueError: If a key matches no parameter; the message suggests others.
    """
    names = [name for name, _ in model.named_parameters()]
    # MMEngine puts a dot before the names of top-level parameters.
    searched = [name if '.' in name else f'.{name}' for name in names]
    words = {word for name in names for word in name.split('.')}
    unused = []
    for key, settings in custom_keys.items():
        if any(key in name for name in searched):
            continue
        own = key.strip('.').split('.')
        if (
            set(settings) == {'decay_mult'}
            and len(own) == 1
            and own[0] not in words
            and not looks_misspelled(own[0], words)
        ):
            unused.append(key)
            continue
        raise ValueError(
            f'Invalid `{KEY}`: expected a part of a parameter name, '
            f'got {key!r}, which no name contains.{_suggest(own, names)}'
        )
    if unused:
        print_log(
            f'`{KEY}` has keys that match no parameter of this model: '
            f'{", ".join(unused)}.',
            logger='current',
        )


def _suggest(own: List[str], names: List[str]) -> str:
    """Suggest the keys that are most similar to one that matches nothing."""
    paths: Set[str] = set()
    for name in names:
        parts = name.split('.')
        paths.update('.'.join(parts[:i]) for i in range(1, len(parts) + 1))
    # Parts in between, such as the names of students, may have been left out.
    pattern = re.compile(r'(\w+\.)*'.join(rf'{re.escape(part)}(\.|$)' for part in own))
    near = sorted((path for path in paths if pattern.fullmatch(path)), key=len)
    if not near and len(own) > 1:
        tail = re.compile(rf'(.*\.)?{re.escape(own[-1])}')
        near = sorted((path for path in paths if tail.fullmatch(path)), key=len)
    if not near:
        words = {word for path in paths for word in path.split('.')}
        near = get_close_matches(own[-1], words, 3)
    listed = ', '.join(map(repr, near[:8])) + (', ...' if near[8:] else '')
    if near:
        return f' Did you mean {listed}?'
    tops = sorted({path for path in paths if path.count('.') < 2})
    return f' Parameters begin with {", ".join(map(repr, tops[:8]))}.'
