# Copyright (c) mmdckd contributors. All rights reserved.
from numbers import Real

#: Beyond, the square of a temperature and what it softens leave float32.
COLDEST, HOTTEST = 1e-4, 1e4


def check_temperature(tau: float) -> None:
    """Check a temperature.

    Args:
        tau (float): Temperature.

    Raises:
        ValueError: If it is no number from :data:`COLDEST` to
            :data:`HOTTEST`.
    """
    if (
        isinstance(tau, bool)
        or not isinstance(tau, Real)
        or not COLDEST <= tau <= HOTTEST
    ):
        raise ValueError(
            f'`tau` is a temperature, more than 0: {COLDEST:g} '
            f'to {HOTTEST:g}, but got {tau!r}.'
        )
