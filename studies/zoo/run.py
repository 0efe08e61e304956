# Copyright (c) mmdckd contributors. All rights reserved.
"""Run each check in its own process, and store the results."""

import json
import multiprocessing
import os
import os.path as osp
import resource
import signal
import time
from dataclasses import asdict, dataclass
from typing import Callable, Dict, List, Optional, Tuple

from mmdckd.sweep.files import append_line, whole_lines

from .entries import Entry, one_line, read_config

_IMPORTS = [
    'studies.zoo.checks',
    'mmpretrain.datasets',
    'mmrazor.datasets',
    'mmrazor.engine',
    'mmrazor.implementations',
]
ROLES = ('control', 'student', 'teacher')


@dataclass(frozen=True)
class Limits:
    """The limits of one check.

    Attributes:
        seconds (float): Time in seconds.
        gigabytes (float): Address space in gigabytes.
    """

    seconds: float = 600.0
    gigabytes: float = 16.0


class Record:
    """Stores results as lines of JSON, safely if the process is killed.

    Args:
        path (str): The file; its folder is created if needed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.results: Dict[Tuple[str, str], dict] = {}
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        if osp.isfile(path):
            with open(path, 'rb') as file:
                for line in whole_lines(file.read()).splitlines():
                    self._take(json.loads(line))

    def _take(self, result: dict) -> None:
        self.results[result['config'], result['role']] = result

    def add(self, result: dict) -> None:
        """Store a result."""
        append_line(self.path, json.dumps(result))
        self._take(result)

    def forget_failures(self) -> None:
        """Forget failed checks, so that they run again."""
        for key, result in list(self.results.items()):
            if any(result.get(k) for k in ('trains', 'predicts', 'reason')):
                del self.results[key]

    def of(self, config: str, role: str) -> Optional[dict]:
        """Return the result of a check; None if it has not run."""
        return self.results.get((config, role))


def run(
    entries: List[Entry],
    record: Record,
    limits: Limits,
    report: Callable[[str], None] = print,
) -> None:
    """Run the checks that have no result yet, one after the other.

    A network that fails with MMPretrain alone is checked neither as a student
    nor as a teacher.

    Args:
        entries (List[Entry]): The configs to check.
        record (Record): The results.
        limits (Limits): The limits of each check.
        report (Callable): Called with a line about each check.
    """
    # One process imports the libraries, and is forked for each check.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_IMPORTS)
    for number, entry in enumerate(entries, 1):
        for role in ROLES:
            if record.of(entry.config, role):
                continue
            control = record.of(entry.config, 'control')
            if role != 'control' and control['predicts']:
                continue
            start = time.monotonic()
            result = _run_one(context, entry, role, limits)
            seconds = round(time.monotonic() - start, 1)
            record.add(dict(asdict(entry), role=role, **result))
            report(
                f'[{number}/{len(entries)}] {entry.config} as {role}: '
                f'{_say(result)} ({seconds} s)'
            )


def _say(result: dict) -> str:
    faults = [f'{what}: {why}' for what, why in result.items() if why]
    return '; '.join(faults) or 'passes'


def _run_one(context, entry: Entry, role: str, limits: Limits) -> dict:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(entry.config, role, limits, sender))
    process.start()
    sender.close()
    if receiver.poll(limits.seconds):
        try:
            result = receiver.recv()
        except EOFError:
            process.join()
            result = _failed(role, _how_it_ended(process.exitcode))
    else:
        process.kill()
        result = _failed(role, f'took more than {limits.seconds:g} s')
    process.join()
    return result


def _failed(role: str, why: str) -> dict:
    if role == 'control':
        return dict(trains=why, predicts=why)
    return dict(reason=why)


def _how_it_ended(exitcode: int) -> str:
    if exitcode < 0:
        return f'ended by {signal.Signals(-exitcode).name}'
    return f'ended with exit code {exitcode}'


def _check(config: str, role: str, limits: Limits, sender) -> None:
    """Run a check in the forked process."""
    size = int(limits.gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    # Hide the output of libraries.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    import torch

    from .checks import CHECKS

    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        result = CHECKS[role](read_config(config))
    except Exception as error:
        result = _failed(role, one_line(error))
    sender.send(result or dict(reason=None))
    sender.close()
