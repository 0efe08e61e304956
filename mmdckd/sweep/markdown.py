# Copyright (c) mmdckd contributors. All rights reserved.
"""Write numbers and tables in Markdown."""

import math
import re
from typing import Sequence

from .statistics import Summary


def spread(summary: Summary, digits: int = 2) -> str:
    """Write a mean and, if there is one, its standard deviation.

    Args:
        summary (Summary): The summary.
        digits (int): Digits after the decimal point. Defaults to 2.
    """
    if math.isnan(summary.std):
        return f'{summary.mean:.{digits}f}'
    return f'{summary.mean:.{digits}f} ± {summary.std:.{digits}f}'


def plain(name: str) -> str:
    """Escape a name so that Markdown shows it as it is, in one line."""
    return re.sub(r'[\\`*\[\]<|~]|(?<!\w)_|_(?!\w)', r'\\\g<0>', ' '.join(name.split()))


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Write a table in Markdown.

    Args:
        rows (Sequence[Sequence[str]]): The titles of the columns, then the
            rows.
        left (Sequence[int]): The left-aligned columns. Defaults to (0, ), the
            first one.
    """
    ruler = [':---' if column in left else '---:' for column in range(len(rows[0]))]
    return '\n'.join(
        '| ' + ' | '.join(row) + ' |' for row in [rows[0], ruler, *rows[1:]]
    )
