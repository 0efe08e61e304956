# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import List, Optional, Tuple

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, IterBasedTrainLoop

from mmdckd import names
from mmdckd.console.calm_console import CalmConsole
from mmdckd.console.duration import duration
from mmdckd.console.pace import Pace
from mmdckd.engine.saving import checkpoint_folder, checkpoint_hook
from mmdckd.engine.student_losses import deployed_of, students_of, task_losses
from mmdckd.evaluation.best_rule import best_of, is_number

from .cohort_checkpoint_hook import BEST


class ConsoleHook(Hook):
    """Shows the progress and the results of a run on the console.

    MMEngine's ``LoggerHook`` still writes the log file, ``scalars.json`` and
    the other backends.

    Args:
        console (CalmConsole): The console.
        only_student (str, optional): What to call the only student. Defaults to
            None: its name.
    """

    priority = 'LOWEST'  # after the hooks that measure and save

    def __init__(
        self, console: CalmConsole, only_student: Optional[str] = None
    ) -> None:
        self._console = console
        self._only_student = only_student

    def before_train(self, runner) -> None:
        """Print the folder and the log file."""
        self._console.say(f'Training in {runner.work_dir}; log: {_log_file(runner)}')
        if runner.iter:
            self._console.say(f'Resumed after step {runner.iter}/{runner.max_iters}.')
        self._pace = Pace(runner.max_iters, runner.iter)
        self._best = _best_so_far(runner, self._only_student)

    def after_train_iter(self, runner, batch_idx: int, *args, **kwargs) -> None:
        """Print the progress if a line is due."""
        done = runner.iter + 1
        since = self._pace.step(done)
        epoch = _epoch(runner, runner.epoch + 1)
        note = []
        if self._best:
            note.append(f'best {self._best}')
        left = self._pace.seconds_left
        if left:
            note.append(f'{duration(left)} left')
        self._console.show_bar(
            epoch or 'training', done, runner.max_iters, '  '.join(note)
        )
        if since:
            losses = _losses(runner, since, self._only_student)
            parts = [epoch, f'step {done}/{runner.max_iters}', *losses]
            self._console.say('  '.join(filter(None, [*parts, *note])))

    def after_train(self, runner) -> None:
        """Print the result."""
        self._console.hide_bar()
        line = f'Trained in {duration(self._pace.seconds)}.'
        if self._best:
            line += f' Best in validation: {self._best}.'
        path = osp.join(checkpoint_folder(runner), BEST)
        if osp.isfile(path):
            line += f' Its weights: {path}'
        self._console.say(line)

    def after_val_iter(self, runner, batch_idx: int, *args, **kwargs) -> None:
        """Print the progress of a long validation."""
        self._count('validation', runner.val_loop, batch_idx)

    def after_val_epoch(self, runner, metrics: Optional[dict] = None) -> None:
        """Print the metric of each member."""
        when = 'validation'
        if isinstance(runner._train_loop, BaseLoop):  # otherwise it is not built
            when = _epoch(runner, runner.epoch) or f'step {runner.iter}'
            self._best = _best_so_far(runner, self._only_student)
        figures = _figures(runner, runner.val_loop, metrics, self._only_student)
        self._console.say(f'{when}  {figures}')

    def before_test(self, runner) -> None:
        """Print the log file."""
        self._console.say(f'Testing; log: {_log_file(runner)}')

    def after_test_iter(self, runner, batch_idx: int, *args, **kwargs) -> None:
        """Print the progress of a long test."""
        self._count('test', runner.test_loop, batch_idx)

    def after_test_epoch(self, runner, metrics: Optional[dict] = None) -> None:
        """Print the metric of each member."""
        self._console.hide_bar()
        figures = _figures(runner, runner.test_loop, metrics, self._only_student)
        self._console.say(f'test  {figures}')

    def _count(self, what: str, loop, batch_idx: int) -> None:
        if batch_idx == 0:
            self._batches = Pace(len(loop.dataloader), lines=0)
        pace = self._batches
        since = pace.step(batch_idx + 1)
        self._console.show_bar(what, pace.done, pace.total, '')
        if since:
            self._console.say(f'{what}  batch {pace.done}/{pace.total}')


def _log_file(runner) -> str:
    return runner.logger.log_file


def _epoch(runner, number: int) -> str:
    """Return the epoch of a run; empty if it trains by iterations."""
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        return ''
    return f'epoch {number}/{runner.max_epochs}'


def _losses(runner, window: int, only_student: Optional[str]) -> List[str]:
    """Return the mean total loss of the latest steps, and the student with the
    lowest task loss."""
    means = {
        names.without_stage(key): float(history.mean(window))
        for key, history in runner.message_hub.log_scalars.items()
        if names.stage_of(key) == 'train'
    }
    shown = []
    if 'loss' in means:
        shown.append(f'loss {means["loss"]:.4f}')
    losses = task_losses(means, students_of(runner))
    if losses:
        least = min(losses, key=losses.__getitem__)
        what = 'lowest task loss' if len(losses) > 1 else 'task loss'
        shown.append(f'{what}: {only_student or least} {losses[least]:.4f}')
    return shown


def _best_so_far(runner, only_student: Optional[str]) -> Optional[str]:
    """Return the best of all validations; None before the first."""
    rule = getattr(runner.val_loop, 'best_rule', None)
    if rule is None:
        score = runner.message_hub.runtime_info.get('best_score')
        return None if score is None else _shown(score)
    # Of equal validations the first, whose weights are in `best.pth`.
    values = dict(enumerate(_history(runner, names.BEST, rule.metric)))
    first = best_of(values, rule.rule)
    if first is None:
        return None
    equal = [
        name
        for name in deployed_of(runner)
        if _history(runner, name, rule.metric)[first : first + 1] == [values[first]]
    ]
    return f'{only_student or equal[0]} ({_shown(values[first])})'


def _history(runner, member: str, metric: str) -> List[float]:
    """Return a member's metric in each validation."""
    key = names.with_stage('val', names.metric_name(member, metric))
    history = runner.message_hub.log_scalars.get(key)
    return [] if history is None else list(map(float, history.data[0]))


def _figures(runner, loop, metrics: Optional[dict], only_student: Optional[str]) -> str:
    """Format the metric that decides which is best, for each member; for a
    single network, the metric that decides which checkpoint is best, or all."""
    metrics = {k: v for k, v in (metrics or {}).items() if is_number(v)}
    rule = getattr(loop, 'best_rule', None)
    if rule is None:
        return ', '.join(f'{k} {_shown(v)}' for k, v in _of_network(runner, metrics))
    best = None
    if len(students_of(runner)) > 1:
        best = runner.message_hub.runtime_info.get('best_student')
    values = {
        member: value
        for member, value in (
            (names.member_of(key, rule.metric), value) for key, value in metrics.items()
        )
        if member and member != names.BEST
    }
    if only_student:
        values = {
            only_student if names.role_of(member) == names.STUDENT else member: value
            for member, value in values.items()
        }
    return f'{rule.metric}: ' + ', '.join(
        f'{member} {_shown(value)}{" (best)" if member == best else ""}'
        for member, value in values.items()
    )


def _of_network(runner, metrics: dict) -> List[Tuple[str, float]]:
    hook = checkpoint_hook(runner)
    monitored = hook.key_indicators if hook and hook.save_best else []
    chosen = [(key, metrics[key]) for key in monitored if key in metrics]
    return chosen or list(metrics.items())


def _shown(value: float) -> str:
    return f'{float(value):.{2 if abs(float(value)) >= 1 else 4}f}'
