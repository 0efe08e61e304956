# Copyright (c) mmdckd contributors. All rights reserved.
"""Write one page about several sweeps."""

import shlex
from dataclasses import dataclass
from typing import Sequence, Tuple

from .plan import Entry
from .report import to_markdown
from .results import Results
from .spec import Spec

TITLE = '# What was measured'

PREFACE = """
Every table is generated from results in the repository, which have one line for
each run. The command above a table repeats a row, and first trains the teacher that
it needs. Create the images of Glyph62 before
(`tools/datasets/make_glyph62.py`). `docs/tutorials/sweep.md` explains sweeps. No
figure is the paper's: the loss is this project's own formulation.
""".strip()


@dataclass(frozen=True)
class Chapter:
    """A sweep of the page.

    Attributes:
        spec (Spec): The sweep.
        entries (Sequence[Entry]): The plan.
        results (Results): The results so far.
        out (str): The folder of the results.
        link (str): The folder of the results, relative to the page.
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
        path (str): The path of the page.
        results_dir (str): The folder that contains the folders of results.

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
    parts = [TITLE, PREFACE, f'This command generates the page:\n\n    {command}']
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
