# Copyright (c) mmdckd contributors. All rights reserved.
"""What there is to write into a config."""

from inspect import isabstract, isclass
from typing import List


def list_losses() -> List[str]:
    """List the losses that a distiller of a cohort takes.

    Returns:
        List[str]: As ``type`` says them. Those of ``mmdckd`` are for
        ``collective_losses``, on all students together; those of ``mmrazor``
        are for ``distill_losses``, which every student has of its own.

    Examples:
        >>> import mmdckd
        >>> 'mmdckd.DCKDLoss' in mmdckd.list_losses()
        True
    """
    from mmrazor.models import losses

    from .losses import BaseCollectiveLoss

    return _registered(BaseCollectiveLoss) + sorted(
        f'mmrazor.{name}' for name in losses.__all__
    )


def list_collectors() -> List[str]:
    """List the collectors, which make one target of what others know.

    Returns:
        List[str]: As ``type`` of a ``collector`` says them.

    Examples:
        >>> import mmdckd
        >>> 'mmdckd.MeanCollector' in mmdckd.list_collectors()
        True
    """
    from .collectors import BaseCollector

    return _registered(BaseCollector)


def _registered(base: type) -> List[str]:
    """The registered classes of a kind, whoever has registered them."""
    from ..registry import MODELS

    MODELS.import_from_location()
    return sorted(
        f'mmdckd.{name}'
        for name, cls in MODELS.module_dict.items()
        if isclass(cls) and issubclass(cls, base) and not isabstract(cls)
    )
