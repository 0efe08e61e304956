# Copyright (c) mmdckd contributors. All rights reserved.
"""Writes the report of a sweep, and one page of several."""

import os
import os.path as osp
from typing import List, Tuple

from mmdckd.io.files import write_text

from ..io.files import path_below
from .lines import make_lines
from .page import Chapter, to_page
from .plan import Entry, make_plan
from .plots import draw_plots
from .report import to_markdown
from .results import Results, to_csv
from .spec import Spec, load_spec


def write_report(
    out: str, spec: Spec, entries: List[Entry], results: Results
) -> List[Tuple[str, str]]:
    """Write the tables and plots; return title and file of the plots."""
    os.makedirs(out, exist_ok=True)
    plots = draw_plots(make_lines(spec, entries, results), out)
    page = osp.join(out, 'README.md')
    write_text(page, to_markdown(spec, entries, results, out, plots))
    write_text(osp.join(out, 'results.csv'), to_csv(results.records, spec.metric))
    print(f'The report is {page}')
    return plots


def write_page(path: str, specs: List[str]) -> None:
    """Write the reports of several sweeps, and one page of them."""
    chapters = []
    for each in specs:
        spec = load_spec(each)
        entries = make_plan(spec, '')
        folder = f'results/{spec.name}'
        out = path_below(osp.dirname(path), folder)
        results = Results(osp.join(out, 'results.jsonl'))
        plots = []
        if results.records:
            plots = write_report(out, spec, entries, results)
        chapters.append(Chapter(spec, entries, results, out, folder, plots))
    write_text(path, to_page(chapters, path))
    print(f'The page is {path}')
