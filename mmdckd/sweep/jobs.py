# Copyright (c) mmdckd contributors. All rights reserved.
"""Starts the processes of runs: on this machine, or through a cluster's queue."""

import os
import os.path as osp
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Protocol, Sequence

from mmdckd.errors import invalid
from mmdckd.io.files import write_text

#: The longest that a job may take, in minutes, unless the sweep says otherwise.
_MINUTES = 24 * 60
#: Slurm's states of a job that is queued or running.
_ACTIVE = ('PENDING', 'RUNNING')


@dataclass(frozen=True)
class Command:
    """The command of a process.

    Attributes:
        arguments (List[str]): The program and its arguments.
        log_file (str): The file that its output is appended to.
        environment (Dict[str, str]): Additional environment variables.
        job_file (str): The file for the number of its job in Slurm's queue.
    """

    arguments: List[str]
    log_file: str
    environment: Dict[str, str]
    job_file: str

    def open(self) -> subprocess.Popen:
        """Start it. It ends when its standard input is closed."""
        with open(self.log_file, 'a', encoding='utf-8') as log:
            return subprocess.Popen(
                self.arguments,
                # Held open until this process ends, however it does.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )

    def run(self) -> int:
        """Run it to its end, and return its exit status."""
        with self.open() as process:
            return process.wait()


class Job(Protocol):
    """A started process; :class:`subprocess.Popen` is one."""

    def poll(self) -> Optional[int]:
        """Return None while it runs."""

    def kill(self) -> None:
        """Stop it."""

    def wait(self) -> int:
        """Wait for its end."""


class Processes:
    """Starts processes on this machine."""

    def start(self, commands: Sequence[Command]) -> Sequence[Job]:
        """Start each command in a process of its own."""
        return [command.open() for command in commands]

    def find(self, job_files: Sequence[str]) -> Dict[str, Job]:
        """Return no processes: they end with the one that started them."""
        return {}


class ClusterJobs:
    """Submits jobs with `submitit <https://github.com/facebookincubator/submitit>`_.

    Args:
        settings (dict): ``cluster``, which is ``'slurm'`` or ``'local'``, and the
            parameters of ``submitit.AutoExecutor.update_parameters``, such as
            ``gpus_per_node`` or ``slurm_partition``. ``timeout_min`` defaults to
            a day.
        folder (str): The folder for submitit's files.

    Raises:
        ModuleNotFoundError: If submitit is not installed.
        ValueError: If submitit does not know a parameter, or the machine has no
            such cluster.
    """

    def __init__(self, settings: Dict[str, Any], folder: str) -> None:
        submitit = _import_submitit()
        parameters = dict({'timeout_min': _MINUTES}, **settings)
        cluster = parameters.pop('cluster')
        # Slurm alone knows its jobs by number.
        self._job_class = submitit.SlurmJob if cluster == 'slurm' else None
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self._executor.update_parameters(**parameters)
        except (NameError, RuntimeError, TypeError, ValueError) as error:
            raise invalid(
                'executor', f'settings of submitit for {cluster}', settings, f' {error}'
            ) from error

    def start(self, commands: Sequence[Command]) -> Sequence[Job]:
        """Submit the commands; on Slurm, several of them as one array."""
        with _interruptible():
            if len(commands) == 1:
                jobs = [self._executor.submit(commands[0].run)]
            else:
                with self._executor.batch():
                    jobs = [self._executor.submit(each.run) for each in commands]
        if self._job_class is not None:
            for command, job in zip(commands, jobs):
                with suppress(OSError):
                    write_text(command.job_file, job.job_id)
        return [_SubmittedJob(job) for job in jobs]

    def find(self, job_files: Sequence[str]) -> Dict[str, Job]:
        """Return the jobs of an earlier sweep that are queued or running.

        Args:
            job_files (Sequence[str]): The files with the numbers of jobs.

        Returns:
            Dict[str, Job]: The jobs, by file.
        """
        if self._job_class is None:
            return {}
        jobs = {}
        # All of them first: then Slurm is asked once.
        for path in job_files:
            if osp.isfile(path):
                with open(path, encoding='utf-8') as file:
                    jobs[path] = self._job_class(self._executor.folder, file.read())
        return {
            path: _SubmittedJob(job)
            for path, job in jobs.items()
            if not job.done() and job.state in _ACTIVE
        }


class _SubmittedJob:
    def __init__(self, job: Any) -> None:
        self._job = job

    def poll(self) -> Optional[int]:
        return 0 if self._job.done() else None

    def kill(self) -> None:
        self._job.cancel()

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.1)
        return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Start processes that an interrupt ends, by which submitit cancels local jobs.

    A command that a shell runs in the background ignores interrupts, and so would
    all processes that it starts.
    """
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _import_submitit() -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`executor` needs submitit. Install with: pip install 'mmdckd[cluster]'"
        ) from error
    return submitit
