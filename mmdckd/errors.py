# Copyright (c) mmdckd contributors. All rights reserved.
"""The form of an error about a config: key, what is expected, what was got."""

from difflib import get_close_matches
from typing import Any, Iterable


def invalid(key: str, expected: str, value: Any, hint: str = '') -> ValueError:
    """Make the error of an invalid option.

    Args:
        key (str): The config key of the option.
        expected (str): What the option may be.
        value (Any): The value it has.
        hint (str): What to do instead, such as the result of
            :func:`did_you_mean`, with a leading space. Defaults to ''.

    Returns:
        ValueError: The error, to be raised.

    Examples:
        >>> print(invalid('tau', 'a positive number', -1))
        Invalid `tau`: expected a positive number, got -1.
    """
    return ValueError(f'Invalid `{key}`: expected {expected}, got {value!r}.{hint}')


def shorten(items: Iterable[str], most: int = 5) -> str:
    """Join the first items of a list, and say how many more there are.

    Args:
        items (Iterable[str]): The items.
        most (int): How many are shown. Defaults to 5.
    """
    items = list(items)
    rest = len(items) - most
    return ', '.join(items[:most]) + (f' and {rest} more' if rest > 0 else '')


def looks_misspelled(word: str, words: Iterable[str]) -> bool:
    """Tell a misspelled name from one of something else.

    Args:
        word (str): A name.
        words (Iterable[str]): The names that are known.

    Returns:
        bool: Whether it is none of these, but very close to one.

    Examples:
        >>> known = ['train_cfg', 'val_cfg']
        >>> looks_misspelled('trian_cfg', known), looks_misspelled('my_cfg', known)
        (True, False)
    """
    known = list(words)
    return word not in known and bool(get_close_matches(word, known, 1, 0.85))


def did_you_mean(word: Any, words: Iterable[str], most: int = 1) -> str:
    """Suggest the words closest to a misspelled one.

    Args:
        word (Any): The word that is not known.
        words (Iterable[str]): The words that are.
        most (int): The largest number of suggestions. Defaults to 1.

    Returns:
        str: The end of a message, with a leading space; empty if no word is
        close.

    Examples:
        >>> did_you_mean('man', ['mean', 'max'])
        " Did you mean 'mean'?"
    """
    near = get_close_matches(str(word), list(words), most)
    return f' Did you mean {" or ".join(map(repr, near))}?' if near else ''
