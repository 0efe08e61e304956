# Copyright (c) mmdckd contributors. All rights reserved.
"""Run several processes in parallel, one for each run."""

import contextlib
import os
import os.path as osp
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

from filelock import FileLock, Timeout

from mmdckd.console.calm_console import print_line

from .files import write_config
from .jobs import ClusterJobs, Command, Job, Processes
from .plan import Run
from .progress import read_progress, seconds_left


@dataclass
class Process:
    """The process of an active run."""

    run: Run
    job: Job
    slot: int
    start: float

    @property
    def seconds(self) -> float:
        """float: The elapsed time in seconds."""
        return time.monotonic() - self.start

    @property
    def part(self) -> float:
        """float: The progress of its training, from 0 to 1."""
        return read_progress(self.run.progress_file)[0]

    @property
    def left(self) -> Optional[float]:
        """float, optional: The estimated remaining time in seconds; None before
        the first iteration."""
        return read_progress(self.run.progress_file)[1]


class Scheduler:
    """Starts runs when their teacher is trained and a slot is free.

    Use it in a ``with`` statement, which ends all processes when it is left.
    The processes also end when this one is killed.

    Args:
        runs (Sequence[Run]): The runs, in the order in which to start them.
        slots (Sequence[Dict[str, str]]): One slot for each parallel run: its
            additional environment variables.
        resume (bool): Whether an interrupted run continues from its last
            checkpoint instead of starting over. Defaults to False.
        launcher (Processes | ClusterJobs, optional): Starts the processes.
            Defaults to None, which means on this machine.

    Attributes:
        faults (Dict[Run, str]): Why runs failed whose processes cannot tell: they did
            not start, as after a failed teacher, or were killed.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        slots: Sequence[Dict[str, str]],
        resume: bool = False,
        launcher: Optional[Union[Processes, ClusterJobs]] = None,
    ) -> None:
        self.waiting = list(runs)
        self.running: List[Process] = []
        self.durations: Dict[str, List[float]] = {}
        self.faults: Dict[Run, str] = {}
        self._slots = slots
        self._resume = resume
        self._launcher = launcher or Processes()
        self._take_over()

    def __enter__(self) -> 'Scheduler':
        return self

    def __exit__(self, *args) -> None:
        killed = []
        for process in self.running:
            try:
                process.job.kill()
                killed.append(process.job)
            except (OSError, subprocess.SubprocessError) as error:  # of `scancel`
                print_line(f'warning: {process.run} may still be running: {error}')
        for job in killed:
            job.wait()

    @property
    def busy(self) -> bool:
        """bool: Whether runs are waiting or active."""
        return bool(self.waiting or self.running)

    def poll(self) -> List[Tuple[Run, bool]]:
        """Collect the runs that have ended, and start others.

        Returns:
            List[Tuple[Run, bool]]: The runs that have ended since the last
            call, and whether they succeeded; a run without a trained teacher
            did not.
        """
        ended = []
        for process in list(self.running):
            status = process.job.poll()
            if status is None:
                continue
            self.running.remove(process)
            finished = osp.isfile(process.run.result_file)
            if not finished and status < 0:
                self.faults[process.run] = _killed_by(-status)
            if finished:
                self.durations.setdefault(process.run.name, []).append(process.seconds)
            ended.append((process.run, finished))
        ended += [(run, True) for run in self._finished_elsewhere()]
        ended += [(run, False) for run in [*self._give_up(), *self._start()]]
        return ended

    def seconds_left(self):
        """float, optional: The estimated remaining time in seconds."""
        return seconds_left(
            [run.name for run in self.waiting],
            [
                (process.run.name, process.seconds, process.left)
                for process in self.running
            ],
            self.durations,
            len(self._slots),
        )

    def _take_over(self) -> None:
        """Wait for the jobs of an earlier sweep that was killed."""
        found = self._launcher.find([_job_file(run) for run in self.waiting])
        runs = [run for run in self.waiting if _job_file(run) in found]
        self.waiting = [run for run in self.waiting if run not in runs]
        now = time.monotonic()
        self.running = [
            Process(run, found[_job_file(run)], slot, now)
            for slot, run in enumerate(runs)
        ]

    def _give_up(self) -> List[Run]:
        """Remove the runs whose teacher failed."""
        coming = [*self.waiting, *(process.run for process in self.running)]
        lost = [
            run
            for run in self.waiting
            if run.teacher is not None
            and run.teacher.checkpoint is None
            and run.teacher not in coming
        ]
        self.waiting = [run for run in self.waiting if run not in lost]
        self.faults.update(dict.fromkeys(lost, 'its teacher failed'))
        return lost

    def _finished_elsewhere(self) -> List[Run]:
        """Remove the runs that a job of an earlier sweep has finished. A teacher
        has to be there as well, with its weights."""
        teachers = [run.teacher for run in self.waiting]
        finished = [run for run in self.waiting if _is_finished(run, teachers)]
        self.waiting = [run for run in self.waiting if run not in finished]
        return finished

    def _start(self) -> List[Run]:
        """Start runs, and return those that cannot be started: the disk is full, or
        the cluster takes no job."""
        free = sorted(set(range(len(self._slots))) - {p.slot for p in self.running})
        teachers = [run.teacher for run in self.waiting]
        ready = [
            run
            for run in self.waiting
            if (run.teacher is None or run.teacher.checkpoint is not None)
            and not _is_locked(run.lock_file)
            # A job may have written its result since, and then left the lock.
            and not _is_finished(run, teachers)
        ]
        chosen = list(zip(ready, free))
        commands, starting = [], []
        for run, slot in chosen:
            self.waiting.remove(run)
            try:
                commands.append(self._command(run, slot))
                starting.append((run, slot))
            except OSError as error:
                self.faults[run] = str(error)
        try:
            jobs = self._launcher.start(commands) if commands else []
        except (OSError, RuntimeError) as error:
            self.faults.update((run, str(error)) for run, _ in starting)
            starting, jobs = [], []
        for (run, slot), job in zip(starting, jobs):
            self.running.append(Process(run, job, slot, time.monotonic()))
        return [run for run, _ in chosen if run in self.faults]

    def _command(self, run: Run, slot: int) -> Command:
        """Prepare the folder of a run, and return the command that trains it."""
        # The first of several phases trains in a folder of its own.
        folders = (run.train_dir, osp.join(run.train_dir, 'phase0'))
        resume = self._resume and any(
            osp.isfile(osp.join(folder, 'last_checkpoint')) for folder in folders
        )
        if not resume:
            shutil.rmtree(run.folder, ignore_errors=True)
        os.makedirs(run.folder, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.remove(run.result_file)  # of a run whose weights are gone
        write_config(run.config_file, run.complete_config(resume))
        arguments = [
            sys.executable,
            '-m',
            'mmdckd.sweep.worker',
            run.config_file,
            run.result_file,
            '--progress',
            run.progress_file,
            '--lock',
            run.lock_file,
            '--end-with-stdin',
        ]
        return Command(arguments, run.log_file, self._slots[slot], _job_file(run))


def _job_file(run: Run) -> str:
    return osp.splitext(run.lock_file)[0] + '.job'


def _killed_by(number: int) -> str:
    name = signal.Signals(number).name
    memory = ', as when memory runs out' if number == signal.SIGKILL else ''
    return f'killed by {name}{memory}'


def _is_finished(run: Run, teachers: Sequence[Optional[Run]]) -> bool:
    """Return whether a run has its result and, as a teacher, its weights."""
    return osp.isfile(run.result_file) and (
        run not in teachers or run.checkpoint is not None
    )


def _is_locked(path: str) -> bool:
    """Return whether a process, such as a cluster's job, holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def make_slots(jobs: int, cores: int, gpus: Sequence[str]) -> List[Dict[str, str]]:
    """Share the cores and GPUs of the machine among parallel runs.

    Args:
        jobs (int): The number of parallel runs.
        cores (int): The number of cores, which are divided into threads.
        gpus (Sequence[str]): The GPUs, by their names in
            ``CUDA_VISIBLE_DEVICES``, assigned in turn.

    Returns:
        List[Dict[str, str]]: The environment variables of each run.
    """
    threads = str(max(1, cores // jobs))
    slots = []
    for job in range(jobs):
        slot = dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
        if gpus:
            slot['CUDA_VISIBLE_DEVICES'] = gpus[job % len(gpus)]
        slots.append(slot)
    return slots
