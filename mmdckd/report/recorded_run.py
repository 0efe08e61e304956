# Copyright (c) mmdckd contributors. All rights reserved.
"""Read the records of a run from its folder."""

import math
import os.path as osp
import re
from dataclasses import dataclass, field
from functools import cached_property
from glob import escape, glob
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np
from mmengine.config import Config

from mmdckd import names
from mmdckd.io.config_text import LONGEST_TEXT, parse_config_text
from mmdckd.names import TEACHER

from .choice import Choice, Rules, choose, rules_of
from .curves import Curves, curves_of, read_records, students_of
from .hook_files import read_members, read_statistics
from .measures import ACCURACY

#: The folder in which ``mmdckd train --data`` trains the students.
STUDENTS = 'students'


@dataclass
class RecordedRun:
    """The records of one run.

    Attributes:
        name (str): Its name.
        folder (str): Its folder.
        training (List[Dict[str, Any]]): The logged values of iterations.
        validation (List[Dict[str, Any]]): The logged values of validations.
        config (Config): Its config.
        environment (str): MMEngine's description of system and runtime.
        members (List[Dict[str, Any]]): The records of ``CohortSummaryHook``,
            :class:`~mmdckd.engine.cohort_summary.Member` as dicts; empty
            without the hook.
        statistics (Dict[str, ndarray], optional): The records of
            ``CohortStatisticsHook`` for the best validation or, if that was not
            stored, for the last one; None without the hook.
    """

    name: str
    folder: str
    training: List[Dict[str, Any]]
    validation: List[Dict[str, Any]]
    config: Config
    environment: str = ''
    members: List[Dict[str, Any]] = field(default_factory=list)
    statistics: Optional[Dict[str, np.ndarray]] = None

    def curves(self, metric: str) -> Curves:
        """Return the values of every member in each validation.

        Args:
            metric (str): The name of the metric or statistic.
        """
        return curves_of(self.validation, metric)

    @cached_property
    def rules(self) -> Optional[Rules]:
        """Rules, optional: The rules of its choice; None without validation."""
        return rules_of(self.config, self.validation)

    @property
    def metric(self) -> str:
        """str: The metric by which students are compared."""
        return self.rules.students.metric if self.rules else ACCURACY

    @cached_property
    def best(self) -> Optional[Choice]:
        """Choice, optional: The student and the validation to use; None if no
        validation has a number."""
        return choose(self.rules, self.validation) if self.rules else None

    @cached_property
    def students(self) -> List[str]:
        """List[str]: The names of the students, or ``model``."""
        validated = students_of(self.curves(self.metric))
        found = {
            names.student_of(key) for record in self.training[:1] for key in record
        }
        trained = names.in_order(name for name in found if name)
        return validated or trained or [names.MODEL]

    @property
    def by_iteration(self) -> bool:
        """bool: Whether its validations are counted in iterations."""
        return _counts_iterations(self.config)

    @property
    def unit(self) -> str:
        """str: The unit in which its validations are counted."""
        return 'iteration' if self.by_iteration else 'epoch'

    @property
    def statistics_of(self) -> str:
        """str: The validation of the statistics."""
        if self.statistics is None:
            return ''
        step = int(self.statistics['step'])
        last = self.validation and self.validation[-1]['step'] == step
        best = self.best is not None and self.best.step == step
        kinds = ' and '.join(['the best'] * best + ['the last'] * bool(last))
        return f'{self.unit} {step}' + (f', {kinds}' if kinds else '')

    @property
    def num_images(self) -> Optional[int]:
        """int, optional: The number of images in a validation, if statistics
        were recorded."""
        if self.statistics is None:
            return None
        return int(self.statistics['bins'][0, :, 0].sum())

    def images_behind(self, metric: str) -> Optional[int]:
        """Return the number of images behind a rate, for agreement with the teacher
        only those on which it is right or wrong; None if unknown."""
        total = self.num_images
        teachers = names.of_role((self.statistics or {}).get('members', ()), TEACHER)
        if total is None or not metric.startswith('agreement_') or not teachers:
            return total
        arrays = self.statistics
        assert arrays is not None
        index = list(arrays['members']).index(teachers[0])
        right = int(arrays['bins'][index, :, 1].sum())
        return right if metric == 'agreement_right' else total - right

    @property
    def step_seconds(self) -> Optional[float]:
        """float, optional: The median duration of a training step in seconds,
        data loading included."""
        times = [r['time'] for r in self.training if 'time' in r]
        return float(np.median(times)) if times else None

    @property
    def unlabeled_share(self) -> Optional[float]:
        """float, optional: The share of training images without labels, if there
        are any."""
        shares = [r['unlabeled_share'] for r in self.training if 'unlabeled_share' in r]
        return shares[-1] if shares else None

    @property
    def images_per_second(self) -> Optional[float]:
        """float, optional: The number of different training images a second of
        all processes. With ``model.parallel='cohort'``, the processes that hold
        different students see the same images."""
        seconds = self.step_seconds
        loader = self.config.get('train_dataloader') or {}
        if not seconds or 'batch_size' not in loader:
            return None
        processes = re.search(r'GPU number: (\d+)', self.environment)
        count = int(processes.group(1)) if processes else 1
        if (self.config.get('model') or {}).get('parallel') == 'cohort':
            count //= min(count, len(self.students))
        return count * loader['batch_size'] / seconds


def read_run(folder: str, name: Optional[str] = None) -> RecordedRun:
    """Read a run, which may still be training.

    A resumed run has several logs. For iterations that were repeated, the last
    one is used. Nothing in the folder is executed, not even its config.

    Args:
        folder (str): The ``work_dir`` of the run, or that of ``mmdckd train
            --data``.
        name (str, optional): The name of the run. Defaults to None: the name of
            the folder.

    Returns:
        RecordedRun: The run.

    Raises:
        ValueError: If there is no run in the folder, it has logged nothing, or
            a file is invalid; the message names it.
    """
    name = name or osp.basename(osp.abspath(folder))
    logs = _logs(folder)
    if not logs:  # `mmdckd train --data` trains its students in a folder below
        logs = _logs(osp.join(folder, STUDENTS))
        folder = osp.join(folder, STUDENTS) if logs else folder
    if not logs:
        below = sorted(glob(osp.join(escape(folder), '*', '*', 'vis_data')))
        hint = f' Did you mean {osp.dirname(osp.dirname(below[0]))!r}?' if below else ''
        raise ValueError(
            'Invalid `WORK_DIR`: expected the work_dir of a run, with '
            "<time>/vis_data/scalars.json, which MMEngine's LocalVisBackend writes, "
            f'got {folder!r}.{hint}'
        )
    config = _read_config(osp.join(logs[-1], 'config.py'))
    training, validation, ends = _read_logs(logs, _counts_iterations(config))
    if not training and not validation:
        raise ValueError(
            'Invalid `WORK_DIR`: expected a run that has logged iterations, got '
            f'{folder!r}, which has none yet. Wait until the first ones are logged.'
        )
    environment = _environment(osp.dirname(logs[-1]))
    run = RecordedRun(name, folder, training, validation, config, environment)
    if run.best is not None:
        run.statistics = _newest_statistics(ends, 'best_statistics.npz', run.best.step)
    if run.statistics is None:
        run.statistics = _newest_statistics(ends, 'cohort_statistics.npz')
    for path in _existing(ends, 'cohort_summary.json'):
        run.members = read_members(path)
        break
    return run


def _counts_iterations(config: Config) -> bool:
    return 'max_iters' in (config.get('train_cfg') or {})


def _read_logs(
    logs: List[str], by_iteration: bool
) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]], Dict[str, float]]:
    """Read what a run has logged, without what it has done again since.

    Args:
        logs (List[str]): The folders of its logs, in order.
        by_iteration (bool): Whether its validations are counted in iterations.

    Returns:
        tuple: The values of iterations, those of validations, and the logs that they
        are from, newest first, each with the first validation that was done again.
    """
    training: List[Dict[str, Any]] = []
    validation: List[Dict[str, Any]] = []
    ends: Dict[str, float] = {}
    trained_again = validated_again = math.inf
    for log in reversed(logs):
        records = list(read_records(osp.join(log, 'scalars.json')))
        # For validations, only the metrics are logged.
        trained = [r for r in records if 'iter' in r]
        validated = [r for r in records if 'iter' not in r]
        training_left = [r for r in trained if r['step'] < trained_again]
        validation_left = [r for r in validated if r['step'] < validated_again]
        if training_left or validation_left:
            ends[log] = validated_again
        training = training_left + training
        validation = validation_left + validation
        trained_again = min([trained_again, *(r['step'] for r in trained)])
        # A run that is started again has no validation at first.
        unit = 'iter' if by_iteration else 'epoch'
        steps = [r['step'] for r in validated] + [r[unit] for r in trained if unit in r]
        validated_again = min([validated_again, *steps])
    return training, validation, ends


def _logs(folder: str) -> List[str]:
    """List the logs in a folder by their start time, which is their name."""
    logs = sorted(glob(osp.join(escape(folder), '*', 'vis_data')))
    return [log for log in logs if osp.exists(osp.join(log, 'scalars.json'))]


def _read_config(path: str) -> Config:
    """Read the config of a run without running it."""
    with open(path, encoding='utf-8') as file:
        text = file.read(LONGEST_TEXT + 1)
    try:
        return parse_config_text(text)
    except ValueError as error:
        raise ValueError(f'Invalid file {path!r}: {error}') from error


def _newest_statistics(
    ends: Dict[str, float], name: str, step: Optional[int] = None
) -> Optional[Dict[str, np.ndarray]]:
    """Return the newest statistics of a validation that was not done again.

    Args:
        ends (Dict[str, float]): The logs of :func:`_read_logs`.
        name (str): The name of the file.
        step (int, optional): The validation. Defaults to None: any.
    """
    for path in _existing(ends, name):
        arrays = read_statistics(path)
        found = int(arrays['step'])
        if found < ends[osp.dirname(path)] and step in (None, found):
            return arrays
    return None


def _existing(logs: Iterable[str], name: str) -> Iterator[str]:
    """Yield the paths of a file in the folders of logs that have it."""
    return filter(osp.exists, (osp.join(log, name) for log in logs))


def _environment(folder: str) -> str:
    """Return the text that MMEngine writes between two rules at the top of its
    log."""
    for path in glob(osp.join(escape(folder), '*.log')):
        with open(path, encoding='utf-8', errors='replace') as file:
            head = file.read(20000)
        found = re.search(r'(System environment:.*?)\n-{20,}', head, re.S)
        if found:
            return found.group(1)
    return ''
