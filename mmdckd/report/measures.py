# Copyright (c) mmdckd contributors. All rights reserved.
"""Format the values of metrics."""

ACCURACY = 'accuracy/top1'
#: The beginnings of the names of MMPretrain's metrics in percent.
_PERCENT = ('accuracy/', 'single-label/', 'multi-label/', 'retrieval/')


def title_of(metric: str) -> str:
    """Return the title of a metric for readers."""
    return 'top-1 accuracy' if metric == ACCURACY else metric


def unit_of(metric: str) -> str:
    """Return the unit of a metric, ``'%'`` or ``''``."""
    return '%' if metric.startswith(_PERCENT) else ''


def written(metric: str, value: float, digits: int = 1) -> str:
    """Format a value with its unit.

    Args:
        metric (str): The metric.
        value (float): The value.
        digits (int): The number of decimals of a percentage. Defaults to 1.
    """
    return f'{value:.{digits}f} %' if unit_of(metric) else f'{value:.4g}'


def times(ratio: float) -> str:
    """Format a ratio, such as '2.5 times as many'."""
    if 0.95 <= ratio < 1.05:
        return 'as many'
    if ratio < 0.1:
        return f'{ratio:.1g} times as many'
    return f'{ratio:.{0 if ratio >= 9.95 else 1}f} times as many'


def image_rate(images: float) -> str:
    """Format images a second, which may be less than one on a slow machine."""
    return f'{images:,.0f}' if images >= 10 else f'{images:.2g}'
