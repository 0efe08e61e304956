# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs a sweep, as far as it has no results."""

import os
import os.path as osp
import time
from typing import Dict, List, Optional

import mmengine
import torch
from filelock import FileLock, Timeout

from ..engine.dataloaders import set_dataloader_defaults
from ..io.files import path_below
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
    """Run what a sweep lacks, and write its report.

    Args:
        path (str): The file of the sweep.
        work_dir (str, optional): The folder of the runs. Defaults to None,
            ``work_dirs/sweeps/`` and the name of the sweep.
        out (str, optional): The folder of results and report. Defaults to
            None, ``work_dir``.
        jobs (int, optional): How many runs are under way at a time. Defaults
            to None, one a GPU or, without any, one a core; with an
            ``executor``, all of them.
        only (List[str], optional): The methods to run. Defaults to None, all.
        resume (bool): Whether to go on with interrupted runs. Defaults to
            False.
        report_only (bool): Whether to run nothing. Defaults to False.

    Returns:
        List[Run]: The runs that have failed.
    """
    spec = load_spec(path)
    work_dir = work_dir or path_below(osp.join('work_dirs', 'sweeps'), spec.name)
    out = out or work_dir
    entries = make_plan(spec, work_dir)
    chosen = choose(entries, only)
    results = Results(osp.join(out, 'results.jsonl'))
    failed: List[Run] = []
    if not report_only:
        os.makedirs(work_dir, exist_ok=True)
        os.makedirs(out, exist_ok=True)
        try:
            with FileLock(osp.join(work_dir, '.lock'), timeout=0):
                failed = run_all(spec, entries, chosen, results, work_dir, jobs, resume)
        except Timeout as error:
            raise ValueError(f'another sweep is at work in {work_dir!r}') from error
    if results.records:
        write_report(out, spec, entries, results)
    elif report_only:
        raise ValueError(f'there are no results in {results.path!r}')
    return failed


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
    spec: Spec,
    entries: List[Entry],
    chosen: List[Entry],
    results: Results,
    work_dir: str,
    jobs: Optional[int],
    resume: bool,
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
    if spec.executor:
        slots: List[Dict[str, str]] = [{}] * (jobs or len(runs))
        launcher = ClusterJobs(spec.executor, osp.join(work_dir, 'jobs'))
        scheduler = Scheduler(runs, slots, resume, launcher)
    else:
        scheduler = Scheduler(runs, own_slots(jobs), resume)
    failed = []
    with Display(len(runs)) as display, scheduler:
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


def own_slots(jobs: Optional[int]) -> List[Dict[str, str]]:
    """The environments of the runs that this machine trains at a time."""
    gpus = visible_gpus()
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1
    )
    return make_slots(jobs or len(gpus) or cores, cores, gpus)


def keep_results(spec: Spec, entries: List[Entry], results: Results) -> None:
    """Add what finished runs have left and the results lack."""
    for entry in entries:
        if results.find(entry) is None and osp.isfile(entry.run.result_file):
            try:
                results.add(spec, entry)
            except ValueError as error:
                raise ValueError(f'{entry.run}: {error}') from error


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
