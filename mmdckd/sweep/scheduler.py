# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs side by side, each in a process of its own."""

import os
import os.path as osp
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

from filelock import FileLock, Timeout

from .files import write_config
from .jobs import ClusterJobs, Command, Job, Processes
from .plan import Run
from .progress import read_progress, seconds_left


@dataclass
class Process:
    """A run that is under way."""

    run: Run
    job: Job
    slot: int
    start: float

    @property
    def seconds(self) -> float:
        """float: How long it has been running."""
        return time.monotonic() - self.start

    @property
    def part(self) -> float:
        """float: The part of its training that is done, from 0 to 1."""
        return read_progress(self.run.progress_file)[0]

    @property
    def left(self) -> Optional[float]:
        """float, optional: The seconds that the rest of it takes; None before
        its first iteration."""
        return read_progress(self.run.progress_file)[1]


class Scheduler:
    """Starts runs when their teacher is there and a slot is free.

    To be used in a ``with`` statement, at whose end no process is left. The
    processes end when this one is killed, too.

    Args:
        runs (Sequence[Run]): The runs, in the order to start them in.
        slots (Sequence[Dict[str, str]]): For every run to have under way at a
            time, what its environment has besides this process's.
        resume (bool): Whether a run that was begun goes on from its last
            checkpoint, rather than anew. Defaults to False.
        launcher (Processes | ClusterJobs, optional): Starts the processes.
            Defaults to None, which means on this machine.
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
        self._slots = slots
        self._resume = resume
        self._launcher = launcher or Processes()

    def __enter__(self) -> 'Scheduler':
        return self

    def __exit__(self, *args) -> None:
        for process in self.running:
            process.job.kill()
            process.job.wait()

    @property
    def busy(self) -> bool:
        """bool: Whether there is anything left to run."""
        return bool(self.waiting or self.running)

    def poll(self) -> List[Tuple[Run, bool]]:
        """See which runs have ended, and start others.

        Returns:
            List[Tuple[Run, bool]]: The runs that have ended since the last
            call and whether they are finished; those whose teacher is not
            are not.
        """
        ended = []
        for process in list(self.running):
            if process.job.poll() is None:
                continue
            self.running.remove(process)
            finished = osp.isfile(process.run.result_file)
            if finished:
                self.durations.setdefault(process.run.name, []).append(process.seconds)
            ended.append((process.run, finished))
        ended += [(run, True) for run in self._finished_elsewhere()]
        ended += [(run, False) for run in self._give_up()]
        self._start()
        return ended

    def seconds_left(self):
        """float, optional: How long the rest will take, by an estimate."""
        return seconds_left(
            [run.name for run in self.waiting],
            [
                (process.run.name, process.seconds, process.left)
                for process in self.running
            ],
            self.durations,
            len(self._slots),
        )

    def _give_up(self) -> List[Run]:
        """Take out the runs whose teacher will not come."""
        coming = [*self.waiting, *(process.run for process in self.running)]
        lost = [
            run
            for run in self.waiting
            if run.teacher is not None
            and run.teacher.checkpoint is None
            and run.teacher not in coming
        ]
        self.waiting = [run for run in self.waiting if run not in lost]
        return lost

    def _finished_elsewhere(self) -> List[Run]:
        """Take out the runs that a job of an earlier sweep has finished."""
        finished = [run for run in self.waiting if osp.isfile(run.result_file)]
        self.waiting = [run for run in self.waiting if run not in finished]
        return finished

    def _start(self) -> None:
        free = sorted(set(range(len(self._slots))) - {p.slot for p in self.running})
        ready = [
            run
            for run in self.waiting
            if (run.teacher is None or run.teacher.checkpoint is not None)
            and not _is_locked(run.lock_file)
        ]
        started = list(zip(ready, free))
        if not started:
            return
        jobs = self._launcher.start([self._command(*each) for each in started])
        for (run, slot), job in zip(started, jobs):
            self.waiting.remove(run)
            self.running.append(Process(run, job, slot, time.monotonic()))

    def _command(self, run: Run, slot: int) -> Command:
        """Prepare the folder of a run, and return the command that trains it."""
        resume = self._resume and osp.isfile(osp.join(run.train_dir, 'last_checkpoint'))
        if not resume:
            shutil.rmtree(run.folder, ignore_errors=True)
        os.makedirs(run.folder, exist_ok=True)
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
        return Command(arguments, run.log_file, self._slots[slot])


def _is_locked(path: str) -> bool:
    """Return whether a process, such as a cluster's job, holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def make_slots(jobs: int, cores: int, gpus: Sequence[str]) -> List[Dict[str, str]]:
    """Share the machine among runs.

    Args:
        jobs (int): How many runs are under way at a time.
        cores (int): The cores there are; every run has its share of threads.
        gpus (Sequence[str]): The GPUs there are, as ``CUDA_VISIBLE_DEVICES``
            names them; the runs take turns.

    Returns:
        List[Dict[str, str]]: The environment of each of them.
    """
    threads = str(max(1, cores // jobs))
    slots = []
    for job in range(jobs):
        slot = dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
        if gpus:
            slot['CUDA_VISIBLE_DEVICES'] = gpus[job % len(gpus)]
        slots.append(slot)
    return slots
