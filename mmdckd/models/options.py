# Copyright (c) mmdckd contributors. All rights reserved.
"""Check the options of losses and collectors.

Each function raises a ``ValueError`` that names the option and what it expects.
"""

import contextlib
from typing import Any, Iterable, Iterator

from mmdckd.errors import did_you_mean, invalid
from mmdckd.values import is_finite_number, is_whole

#: Outside this range, the squared temperature or the softened logits overflow
#: or vanish in float32.
COLDEST, HOTTEST = 1e-4, 1e4


def check_weight(key: str, value: Any) -> None:
    """Check that a value is a finite number, 0 or more."""
    if not is_finite_number(value) or value < 0:
        raise invalid(key, 'a weight, 0 or more', value)


def check_positive(key: str, value: Any) -> None:
    """Check that a value is a finite number above 0."""
    if not is_finite_number(value) or value <= 0:
        raise invalid(key, 'a number above 0', value)


def check_temperature(value: Any, key: str = 'tau') -> None:
    """Check that a value is a number from :data:`COLDEST` to :data:`HOTTEST`."""
    if not is_finite_number(value) or not COLDEST <= value <= HOTTEST:
        expected = f'a temperature, a number from {COLDEST:g} to {HOTTEST:g}'
        raise invalid(key, expected, value)


def check_count(key: str, value: Any) -> None:
    """Check that a value is a whole number, 1 or more."""
    if not is_whole(value, least=1):
        raise invalid(key, 'a whole number, 1 or more', value)


def check_bool(key: str, value: Any) -> None:
    """Check that a value is True or False."""
    if not isinstance(value, bool):
        raise invalid(key, 'True or False', value)


def check_choice(key: str, value: Any, choices: Iterable[str]) -> None:
    """Check that a value is one of several words."""
    choices = tuple(choices)
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise invalid(key, f'one of {choices}', value, hint)


@contextlib.contextmanager
def under(key: str) -> Iterator[None]:
    """Put a config key in front of the errors raised in this context."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'`{key}`: {error}') from error
