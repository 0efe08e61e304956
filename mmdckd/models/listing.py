# Copyright (c) mmdckd contributors. All rights reserved.
"""List the losses and collectors that a config can name."""

from inspect import isabstract, isclass
from typing import List


def list_losses() -> List[str]:
    """List the losses that the distiller of a cohort accepts.

    Returns:
        List[str]: The values of ``type``. Losses of ``mmdckd`` go into
        ``collective_losses`` and see all students at once; losses of
        ``mmrazor`` go into ``distill_losses`` and are built for each student.

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
    """List the collectors, which combine the predictions of others to a target.

    Returns:
        List[str]: The values of ``collector.type``.

    Examples:
        >>> import mmdckd
        >>> 'mmdckd.MeanCollector' in mmdckd.list_collectors()
        True
    """
    from .collectors import BaseCollector

    return _registered(BaseCollector)


def _registered(base: type) -> List[str]:
    """Return the registered subclasses of a class, including users' own."""
    from ..registry import MODELS

    MODELS.import_from_location()
    return sorted(
        f'mmdckd.{name}'
        for name, cls in MODELS.module_dict.items()
        if isclass(cls) and issubclass(cls, base) and not isabstract(cls)
    )
