# Copyright (c) mmdckd contributors. All rights reserved.
"""Let MMEngine load its own checkpoints, and load them safely.

Importing mmdckd applies both :data:`REMEDIES`: loading a file runs no code,
whichever function loads it.
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

    ``torch.load`` loads only weights by default, but a checkpoint of MMEngine
    also contains :class:`HistoryBuffer` objects of its message hub and NumPy
    numbers. So mmengine 0.10.7 cannot resume, and mmdckd always loads with this
    default. This allows exactly these types, so that loading a file cannot run
    code.

    See https://github.com/open-mmlab/mmengine/issues/1655.
    """
    import torch
    from mmengine.utils import digit_version

    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    torch.serialization.add_safe_globals([*checkpoint_globals()])
    return f'torch {torch.__version__} loads only weights, but mmengine saves more'


@remedy
def unsafe_checkpoints() -> Optional[str]:
    """MMEngine lets the checkpoints that it loads run code.

    Since 0.11 it loads files with ``weights_only=False``, as it has always done
    for downloads: ``load_from``, ``resume`` and
    ``init_cfg=dict(type='Pretrained')`` would run any code in a file. It also
    runs the config in ``meta.config`` of a checkpoint to look for ``gpu_ids``,
    a key that only MMCV writes.

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
        with loading('checkpoint', filename):
            content = load(cls, filename, map_location, logger)
            if isinstance(content, dict):
                if isinstance(content.get('meta'), dict):
                    content['meta'].pop('config', None)
                if 'message_hub' in content:
                    content['message_hub'] = restore_message_hub(content['message_hub'])
        return content

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    # The loaders can also be called directly.
    schemes = CheckpointLoader._schemes
    for name, loader in list(vars(checkpoint).items()):
        if name.startswith('load_from_') and callable(loader):
            safe = _loading_weights(loader)
            replace(loader, safe)
            for scheme in schemes:
                if schemes[scheme] is loader:
                    schemes[scheme] = safe
    return 'mmengine lets checkpoints run code when it loads them'


def _loading_weights(loader: Callable) -> Callable:

    @functools.wraps(loader)
    def load_weights(filename: str, *args, **kwargs) -> Any:
        with loading('checkpoint', str(filename)):
            return loader(filename, *args, **kwargs)

    return load_weights


REMEDIES = [checkpoints_of_mmengine, unsafe_checkpoints]
"""list[Callable]: The functions that make loading safe, in this order."""


def apply() -> None:
    """Make loading work and safe."""
    for each in REMEDIES:
        each()
