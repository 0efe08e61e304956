# Copyright (c) mmdckd contributors. All rights reserved.
"""Summarize the results of several seeds, and compare two methods."""

import math
import statistics
from dataclasses import dataclass
from typing import Mapping, Sequence

from scipy.special import stdtrit


@dataclass(frozen=True)
class Summary:
    r"""Mean and spread of n values :math:`x_1, ..., x_n`.

    .. math::
        \bar x = \frac{1}{n} \sum_i x_i, \quad
        s = \sqrt{\frac{1}{n - 1} \sum_i (x_i - \bar x)^2}, \quad
        \bar x \pm t_{n-1,\,0.975} \frac{s}{\sqrt n}

    The interval is that of Student's t: it contains the true mean in 95 % of
    cases if the values are normally distributed.

    Attributes:
        count (int): n.
        mean (float): Their mean.
        std (float): Their standard deviation; NaN for a single value, and if a
            value is not finite.
        margin (float): Half the width of the interval; NaN where ``std`` is.
    """

    count: int
    mean: float
    std: float
    margin: float

    @property
    def low(self) -> float:
        """float: The lower end of the 95 % interval."""
        return self.mean - self.margin

    @property
    def high(self) -> float:
        """float: The upper end of the 95 % interval."""
        return self.mean + self.margin

    @property
    def clear_of_zero(self) -> bool:
        """bool: Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def summarize(values: Sequence[float]) -> Summary:
    """Summarize the values of several seeds.

    Args:
        values (Sequence[float]): One value a seed.

    Returns:
        Summary: Their mean, standard deviation and 95 % interval.

    Raises:
        ValueError: If there is no value.
    """
    count = len(values)
    if count == 0:
        raise ValueError('Invalid values: expected one or more, got none.')
    if not all(map(math.isfinite, values)):  # of a run that diverged
        return Summary(count, sum(values) / count, math.nan, math.nan)
    mean = statistics.fmean(values)
    if count == 1:
        return Summary(count, mean, math.nan, math.nan)
    std = statistics.stdev(values)
    # scipy.stats has this interval, but takes a second to import.
    quantile = float(stdtrit(count - 1, 0.975))
    return Summary(count, mean, std, quantile * std / math.sqrt(count))


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float]
) -> Summary:
    """Summarize the differences of two methods, seed by seed.

    Runs with the same seed share the teacher and everything that the seed
    determines, so the variance that these cause cancels.

    Args:
        ours (Mapping[int, float]): Seed to value of a method.
        theirs (Mapping[int, float]): Seed to value of the method to compare
            with.

    Returns:
        Summary: The summary of ``ours[seed] - theirs[seed]`` over the seeds of
        both.

    Raises:
        ValueError: If they have no seed in common.
    """
    return summarize(
        [ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()]
    )
