# Copyright (c) mmdckd contributors. All rights reserved.
"""One page of several sweeps."""

import shlex
from dataclasses import dataclass
from typing import Sequence, Tuple

from .plan import Entry
from .report import to_markdown
from .results import Results
from .spec import Spec

TITLE = '# What was measured'

PREFACE = """
Every table is made from results that are in the repository, one line a run.
The command beside a line runs it again, with the teacher it needs; of Glyph62,
the images are made before (`tools/datasets/make_glyph62.py`). How sweeps
work is in `docs/tutorials/sweep.md`. No number is the paper's: this project's
formulation is its own.
""".strip()


@dataclass(frozen=True)
class Chapter:
    """A sweep of the page.

    Attributes:
        spec (Spec): What is compared.
        entries (Sequence[Entry]): The plan.
        results (Results): What came out, as yet.
        out (str): The folder of the results.
        link (str): The same, as seen from the page.
        plots (Sequence[Tuple[str, str]]): Title and file of every plot.
    """

    spec: Spec
    entries: Sequence[Entry]
    results: Results
    out: str
    link: str
    plots: Sequence[Tuple[str, str]]


def to_page(chapters: Sequence[Chapter], path: str, results_dir: str) -> str:
    """Write the page.

    Args:
        chapters (Sequence[Chapter]): The sweeps, in order.
        path (str): Where the page is.
        results_dir (str): The folder of the folders of results.

    Returns:
        str: Markdown.
    """
    command = shlex.join(
        [
            'python',
            'tools/sweep.py',
            *(chapter.spec.path for chapter in chapters),
            '--page',
            path,
            '--out',
            results_dir,
        ]
    )
    parts = [TITLE, PREFACE, f'The page is made by\n\n    {command}']
    parts += [
        to_markdown(
            chapter.spec,
            chapter.entries,
            chapter.results,
            chapter.out,
            chapter.plots,
            link=f'{chapter.link}/',
            level=2,
        ).strip()
        for chapter in chapters
    ]
    return '\n\n'.join(parts) + '\n'
