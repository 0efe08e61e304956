# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare methods: run every one with several seeds, and report."""

import argparse
import os
import os.path as osp
import time
from typing import List, Optional, Tuple

import mmengine
import torch
from filelock import FileLock, Timeout

from mmdckd.cli.errors import one_error_line
from mmdckd.cli.run_config import set_dataloader_defaults
from mmdckd.io.files import path_below
from mmdckd.sweep.display import Display, duration
from mmdckd.sweep.files import write_whole
from mmdckd.sweep.lines import make_lines
from mmdckd.sweep.page import Chapter, to_page
from mmdckd.sweep.plan import Entry, Run, make_plan
from mmdckd.sweep.plots import draw_plots
from mmdckd.sweep.report import to_markdown
from mmdckd.sweep.results import Results, figure_of, to_csv
from mmdckd.sweep.scheduler import Scheduler, make_slots
from mmdckd.sweep.spec import Spec, load_spec

EXAMPLES = """examples:
  # teacher, plain training, KD, DML and DCKD on digits, five seeds each; stop
  # it at any time, and start it again to go on
  %(prog)s configs/sweeps/digits.yaml

  # one line of the table again, in another folder
  %(prog)s configs/sweeps/digits.yaml --only kd \\
      --work-dir again

  # the tables and plots again, from results that are there
  %(prog)s configs/sweeps/digits.yaml \\
      --out docs/results/digits --report-only

  # one page of several, with their tables and plots
  %(prog)s configs/sweeps/digits.yaml \\
      configs/sweeps/glyph62_ablation.py --page docs/benchmark.md

The file of a sweep is described in mmdckd/sweep/spec.py, the results
in mmdckd/sweep/results.py."""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd sweep'
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'spec',
        nargs='+',
        help='the file that says what is compared; several for a --page',
    )
    parser.add_argument(
        '--work-dir',
        help='the folder of the runs: configs, logs, checkpoints (default: '
        'work_dirs/sweeps/ and the name of the sweep)',
    )
    parser.add_argument(
        '--out',
        help='the folder of results.jsonl, results.csv, README.md and the '
        'plots; a run that has its line in results.jsonl is not run again '
        '(default: the --work-dir)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='how many runs are under way at a time; they share the cores '
        'and the GPUs (default: one a GPU or, without any, one a core)',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='METHOD',
        help='run these methods only, with the teachers they need; a method '
        'of one pair only is PAIR/METHOD',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with interrupted runs from their last checkpoints; their '
        'training time is not known then. By default they start anew, and '
        'finished runs are kept either way',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='run nothing: make the report from the results in --out',
    )
    parser.add_argument(
        '--page',
        help='run nothing: make the report of each sweep from its results '
        'in results/NAME/ beside this page, and the page of all of them',
    )
    args = parser.parse_args(argv)
    if args.page and args.out:
        parser.error('--page finds the results beside the page: drop --out')
    if len(args.spec) > 1 and not args.page:
        parser.error('several sweeps are for a --page only; name one')
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs should be 1 or more, but is {args.jobs}')
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd sweep') -> None:
    args = parse_args(argv, prog)
    if args.page:
        return write_page(args.page, args.spec)
    spec = load_spec(args.spec[0])
    args.work_dir = args.work_dir or path_below(
        osp.join('work_dirs', 'sweeps'), spec.name
    )
    args.out = args.out or args.work_dir
    entries = make_plan(spec, args.work_dir)
    chosen = choose(entries, args.only)
    results = Results(osp.join(args.out, 'results.jsonl'))
    failed = []
    if not args.report_only:
        os.makedirs(args.work_dir, exist_ok=True)
        os.makedirs(args.out, exist_ok=True)
        try:
            with FileLock(osp.join(args.work_dir, '.lock'), timeout=0):
                failed = run_all(args, spec, entries, chosen, results)
        except Timeout as error:
            raise SystemExit(
                f'error: another sweep is at work in {args.work_dir!r}'
            ) from error
    if results.records:
        report(args.out, spec, entries, results)
    elif args.report_only:
        raise SystemExit(f'error: there are no results in {results.path!r}')
    if failed:
        raise SystemExit(
            'error: these runs have failed:\n'
            + '\n'.join(f'  {run}: {run.log_file}' for run in failed)
        )


def choose(entries: List[Entry], only: Optional[List[str]]) -> List[Entry]:
    """The methods to run, by their names."""
    methods = [entry for entry in entries if entry.role == 'method']
    if only is None:
        return methods
    chosen = []
    for name in only:
        named = [
            entry
            for entry in methods
            if name in (entry.name, f'{entry.pair}/{entry.name}')
        ]
        if not named:
            known = list(dict.fromkeys(entry.name for entry in methods))
            raise ValueError(f'--only {name!r} is none of the methods: {known}')
        chosen += named
    return chosen


def run_all(
    args: argparse.Namespace,
    spec: Spec,
    entries: List[Entry],
    chosen: List[Entry],
    results: Results,
) -> List[Run]:
    """Run what has no result yet; return the runs that have failed."""
    keep_results(spec, entries, results)
    runs = runs_to_do(chosen, results)
    if not runs:
        print('Every run is finished.')
        return []
    for run in runs:
        for stage in ('train', 'val', 'test'):
            set_dataloader_defaults(run.config, stage)
    gpus = visible_gpus()
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1
    )
    slots = make_slots(args.jobs or len(gpus) or cores, cores, gpus)
    failed = []
    with (
        Display(len(runs)) as display,
        Scheduler(runs, slots, args.resume) as scheduler,
    ):
        while scheduler.busy:
            for run, finished in scheduler.poll():
                if finished:
                    keep_results(spec, entries, results)
                    text = outcome_of(run, spec)
                else:
                    failed.append(run)
                    text = f'failed: {last_line(run.log_file)}'
                display.end(run, text, scheduler.seconds_left())
            display.update(scheduler)
            time.sleep(0.2)
    return failed


def keep_results(spec: Spec, entries: List[Entry], results: Results) -> None:
    """Add what finished runs have left and the results lack."""
    for entry in entries:
        if results.find(entry) is None and osp.isfile(entry.run.result_file):
            try:
                results.add(spec, entry)
            except ValueError as error:
                raise SystemExit(f'error: {entry.run}: {error}') from error


def runs_to_do(chosen: List[Entry], results: Results) -> List[Run]:
    """The runs without a result and, before them, the teachers that they
    lack."""
    students = [e.run for e in chosen if results.find(e) is None]
    teachers = [
        run.teacher
        for run in students
        if run.teacher is not None and run.teacher.checkpoint is None
    ]
    return list(dict.fromkeys(teachers + students))


def outcome_of(run: Run, spec: Spec) -> str:
    """The figure and the time of a finished run."""
    record = mmengine.load(run.result_file)
    value = figure_of(record, record['last']['test'], spec.metric, 'mean')
    seconds = record['train_seconds']
    return f'{value:.2f}' + ('' if seconds is None else f' in {duration(seconds)}')


def last_line(path: str) -> str:
    """The last thing that a process said."""
    if not osp.isfile(path):
        return 'its teacher has failed'
    with open(path, encoding='utf-8', errors='replace') as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else 'it said nothing'


def visible_gpus() -> List[str]:
    """The GPUs to use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is not None:
        return [name for name in named.split(',') if name]
    return [str(index) for index in range(torch.cuda.device_count())]


def report(
    out: str, spec: Spec, entries: List[Entry], results: Results
) -> List[Tuple[str, str]]:
    """Write the tables and plots; return title and file of the plots."""
    os.makedirs(out, exist_ok=True)
    plots = draw_plots(make_lines(spec, entries, results), out)
    page = osp.join(out, 'README.md')
    write_whole(page, to_markdown(spec, entries, results, out, plots))
    write_whole(osp.join(out, 'results.csv'), to_csv(results.records, spec.metric))
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
            plots = report(out, spec, entries, results)
        chapters.append(Chapter(spec, entries, results, out, folder, plots))
    write_whole(path, to_page(chapters, path))
    print(f'The page is {path}')
