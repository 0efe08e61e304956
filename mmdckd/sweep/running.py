# Copyright (c) mmdckd contributors. All rights reserved.
"""Run the parts of a sweep that have no results yet."""

import os
import os.path as osp
import time
from typing import Dict, List, Optional

import mmengine
import torch
from filelock import FileLock, Timeout

from ..console.calm_console import print_line
from ..engine.dataloaders import set_all_dataloader_defaults
from ..engine.runner.phases import phases_of
from ..errors import invalid
from ..io.files import check_writable, path_below
from .display import Display, duration
from .jobs import ClusterJobs
from .plan import Entry, Run, make_plan
from .results import Results, figure_of
from .scheduler import Scheduler, make_slots
from .spec import Spec, load_spec
from .writing import write_report


def run_sweep(
    path: str,
    *,
    work_dir: Optional[str] = None,
    out: Optional[str] = None,
    jobs: Optional[int] = None,
    only: Optional[List[str]] = None,
    resume: bool = False,
    report_only: bool = False,
) -> List[Run]:
    """Run the missing runs of a sweep, and write its report.

    Args:
        path (str): The file of the sweep.
        work_dir (str, optional): The folder of the runs. Defaults to None:
            ``work_dirs/sweeps/`` plus the name of the sweep.
        out (str, optional): The folder of results and report. Defaults to
            None: ``work_dir``.
        jobs (int, optional): The number of parallel runs. Defaults to None: one
            per GPU or, without GPUs, one per core; with an ``executor``, all of
            them.
        only (List[str], optional): The methods to run. Defaults to None: all.
        resume (bool): Whether to continue interrupted runs. Defaults to False.
        report_only (bool): Whether to only write the report. Defaults to False.

    Returns:
        List[Run]: The failed runs.
    """
    spec = load_spec(path)
    work_dir = work_dir or path_below(osp.join('work_dirs', 'sweeps'), spec.name)
    out = out or work_dir
    entries = make_plan(spec, work_dir)
    chosen = choose(entries, only)
    results = Results(osp.join(out, 'results.jsonl'))
    failed: List[Run] = []
    if not report_only:
        check_writable(work_dir, 'work_dir')
        check_writable(out, 'out')
        os.makedirs(work_dir, exist_ok=True)
        os.makedirs(out, exist_ok=True)
        try:
            with FileLock(osp.join(work_dir, '.lock'), timeout=0):
                failed = run_all(spec, entries, chosen, results, work_dir, jobs, resume)
        except Timeout as error:
            raise ValueError(
                'Invalid `work_dir`: expected a folder without a running sweep, got '
                f'{work_dir!r}, which another process uses.'
            ) from error
        # A sweep with another work folder may have added lines.
        results = Results(results.path)
    if results.records:
        write_report(out, spec, entries, results)
    elif report_only:
        raise invalid('out', 'a folder with results', results.path)
    return failed


def choose(entries: List[Entry], only: Optional[List[str]]) -> List[Entry]:
    """Select the entries of the methods to run by name."""
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
            raise invalid('--only', f'methods among {known}', name)
        chosen += named
    return chosen


def run_all(
    spec: Spec,
    entries: List[Entry],
    chosen: List[Entry],
    results: Results,
    work_dir: str,
    jobs: Optional[int],
    resume: bool,
) -> List[Run]:
    """Run everything that has no result yet, and return the failed runs."""
    keep_results(spec, entries, results)
    runs = runs_to_do(chosen, results)
    if not runs:
        print_line('Every run is finished.')
        return []
    for run in runs:
        for phase in phases_of(run.config):
            set_all_dataloader_defaults(phase.config)
    if spec.executor:
        slots: List[Dict[str, str]] = [{}] * (jobs or len(runs))
        launcher = ClusterJobs(spec.executor, osp.join(work_dir, 'jobs'))
        scheduler = Scheduler(runs, slots, resume, launcher)
    else:
        scheduler = Scheduler(runs, own_slots(jobs, len(runs)), resume)
    failed = []
    with Display(len(runs)) as display, scheduler:
        while scheduler.busy:
            for run, finished in scheduler.poll():
                faults = keep_results(spec, entries, results) if finished else {}
                if finished and run not in faults:
                    text = outcome_of(run, spec)
                else:
                    failed.append(run)
                    why = faults.get(run) or scheduler.faults.get(run)
                    text = f'failed: {why or last_line(run.log_file)}'
                display.end(run, text, scheduler.seconds_left())
            display.update(scheduler)
            time.sleep(0.2)
    return failed


def own_slots(jobs: Optional[int], num_runs: int) -> List[Dict[str, str]]:
    """Return the environments of the parallel runs on this machine. Few runs have the
    cores of all."""
    gpus = visible_gpus()
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1
    )
    return make_slots(min(jobs or len(gpus) or cores, num_runs), cores, gpus)


def keep_results(
    spec: Spec, entries: List[Entry], results: Results
) -> Dict[Run, Exception]:
    """Add the results of finished runs that are not stored yet.

    Returns:
        Dict[Run, Exception]: The runs whose results cannot be stored, and why: they
        lack the metric, or the disk is full. Other runs go on; the next call tries
        again.
    """
    faults: Dict[Run, Exception] = {}
    for entry in entries:
        if results.find(entry) is None and osp.isfile(entry.run.result_file):
            try:
                results.add(spec, entry)
            except (OSError, ValueError) as error:
                faults[entry.run] = error
    return faults


def runs_to_do(chosen: List[Entry], results: Results) -> List[Run]:
    """List the runs without a result, preceded by the teachers that they need."""
    students = [e.run for e in chosen if results.find(e) is None]
    teachers = [
        run.teacher
        for run in students
        if run.teacher is not None and run.teacher.checkpoint is None
    ]
    return list(dict.fromkeys(teachers + students))


def outcome_of(run: Run, spec: Spec) -> str:
    """Describe the figure and duration of a finished run."""
    record = mmengine.load(run.result_file)
    value = figure_of(record, record['last']['test'], spec.metric, 'mean')
    seconds = record['train_seconds']
    return f'{value:.2f}' + ('' if seconds is None else f' in {duration(seconds)}')


def last_line(path: str) -> str:
    """Return the last line that a process printed."""
    if not osp.isfile(path):
        return 'no output'
    with open(path, encoding='utf-8', errors='replace') as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else 'no output'


def visible_gpus() -> List[str]:
    """List the GPUs to use, by their names in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is not None:
        return [name for name in named.split(',') if name]
    return [str(index) for index in range(torch.cuda.device_count())]
