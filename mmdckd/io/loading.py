# Copyright (c) mmdckd contributors. All rights reserved.
"""What lets MMEngine load its own checkpoints, and do so safely.

Importing mmdckd applies both :data:`REMEDIES`: a file that is loaded runs no
code, whoever loads it.
"""

import functools
from importlib import import_module
from typing import Any, Callable, Optional

from mmdckd.compat.remedy import remedy, replace

from .plain import restore_message_hub
from .trust import checkpoint_globals, loading


@remedy
def checkpoints_of_mmengine() -> Optional[str]:
    """torch >= 2.6 refuses to load the checkpoints of MMEngine.

    ``torch.load`` loads nothing but weights unless told otherwise, and a
    checkpoint of MMEngine holds the :class:`HistoryBuffer` of its message hub
    and NumPy numbers. mmengine 0.10.7 cannot resume for it, and mmdckd itself
    never loads otherwise. These are allowed here and nothing else is, so that
    loading a file cannot run code.

    See https://github.com/open-mmlab/mmengine/issues/1655.
    """
    import torch
    from mmengine.utils import digit_version

    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    torch.serialization.add_safe_globals([*checkpoint_globals()])
    return f'torch {torch.__version__} loads weights only, and mmengine saves more'


@remedy
def unsafe_checkpoints() -> Optional[str]:
    """MMEngine lets the checkpoints that it loads run code.

    From 0.11 on it asks ``torch.load`` for everything, not only weights, and
    what it downloads it has always loaded so: ``load_from``, ``resume`` and
    ``init_cfg=dict(type='Pretrained')`` would run whatever a file says. And
    it runs what a checkpoint has under ``meta.config``, to look for
    ``gpu_ids``, which only MMCV has ever written there.

    See https://github.com/open-mmlab/mmengine/pull/1650.
    """
    import torch
    from mmengine.runner import checkpoint
    from mmengine.runner.checkpoint import CheckpointLoader
    from mmengine.utils import digit_version

    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    import_module('mmengine.runner.runner')
    load = CheckpointLoader.load_checkpoint.__func__

    @functools.wraps(load)
    def load_checkpoint(
        cls, filename: str, map_location: Any = None, logger: Any = 'current'
    ) -> Any:
        with loading(f'The checkpoint {filename!r}', filename):
            content = load(cls, filename, map_location, logger)
            if isinstance(content, dict):
                if isinstance(content.get('meta'), dict):
                    content['meta'].pop('config', None)
                if 'message_hub' in content:
                    content['message_hub'] = restore_message_hub(content['message_hub'])
        return content

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    # They can be called directly, too.
    schemes = CheckpointLoader._schemes
    for name, loader in list(vars(checkpoint).items()):
        if name.startswith('load_from_') and callable(loader):
            safe = _loading_weights(loader)
            replace(loader, safe)
            for scheme in schemes:
                if schemes[scheme] is loader:
                    schemes[scheme] = safe
    return 'mmengine loads checkpoints so that they can run code'


def _loading_weights(loader: Callable) -> Callable:

    @functools.wraps(loader)
    def load_weights(filename: str, *args, **kwargs) -> Any:
        with loading(f'The checkpoint {filename!r}', str(filename)):
            return loader(filename, *args, **kwargs)

    return load_weights


REMEDIES = [checkpoints_of_mmengine, unsafe_checkpoints]
"""list[Callable]: What makes loading safe, in this order."""


def apply() -> None:
    """Make loading work and safe."""
    for each in REMEDIES:
        each()
