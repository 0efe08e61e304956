# Copyright (c) mmdckd contributors. All rights reserved.
"""How values of metrics are written."""

ACCURACY = 'accuracy/top1'
#: The metrics of MMPretrain that are in per cent begin so.
_PERCENT = ('accuracy/', 'single-label/', 'multi-label/', 'retrieval/')


def title_of(metric: str) -> str:
    """What a reader calls a metric."""
    return 'top-1 accuracy' if metric == ACCURACY else metric


def unit_of(metric: str) -> str:
    """The unit of a metric, ``'%'`` or nothing."""
    return '%' if metric.startswith(_PERCENT) else ''


def written(metric: str, value: float, digits: int = 1) -> str:
    """A value with its unit.

    Args:
        metric (str): The metric.
        value (float): The value.
        digits (int): How many digits a percentage has after the point.
            Defaults to 1.
    """
    return f'{value:.{digits}f} %' if unit_of(metric) else f'{value:.4g}'


def times(ratio: float) -> str:
    """How many times as many, as a reader says it."""
    if 0.95 <= ratio < 1.05:
        return 'as many'
    return f'{ratio:.{0 if ratio >= 9.95 else 1}f} times as many'


def image_rate(images: float) -> str:
    """Write images a second, of which a slow machine may have less than
    one."""
    return f'{images:,.0f}' if images >= 10 else f'{images:.2g}'
