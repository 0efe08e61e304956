# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the report of a sweep, or one page about several."""

import os
import os.path as osp
from typing import List, Optional, Tuple

from mmdckd.console.calm_console import print_line
from mmdckd.io.files import path_below, write_text

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
    """Write the tables and plots, and return title and file of the plots."""
    os.makedirs(out, exist_ok=True)
    plots = draw_plots(make_lines(spec, entries, results), out)
    page = osp.join(out, 'README.md')
    write_text(page, to_markdown(spec, entries, results, out, plots))
    write_text(osp.join(out, 'results.csv'), to_csv(results.records, spec.metric))
    print_line(f'The report is {page}')
    return plots


def write_page(path: str, specs: List[str], results_dir: Optional[str] = None) -> None:
    """Write the reports of several sweeps, and one page about all of them.

    Args:
        path (str): The page.
        specs (List[str]): The files that describe the sweeps.
        results_dir (str, optional): The folder that has a folder of results for
            each sweep. Defaults to ``results`` beside the page.
    """
    beside = osp.dirname(path)
    results_dir = results_dir or osp.join(beside, 'results')
    chapters = []
    for each in specs:
        spec = load_spec(each)
        entries = make_plan(spec, '')
        out = path_below(results_dir, spec.name)
        link = osp.relpath(out, beside or '.').replace(os.sep, '/')
        results = Results(osp.join(out, 'results.jsonl'))
        plots = []
        if results.records:
            plots = write_report(out, spec, entries, results)
        chapters.append(Chapter(spec, entries, results, out, link, plots))
    write_text(path, to_page(chapters, path, results_dir))
    print_line(f'The page is {path}')
