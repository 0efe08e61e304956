# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Iterable, Tuple

from mmengine.runner import LogProcessor

from mmdckd import names
from mmdckd.engine.student_losses import deployed_of, students_of, task_losses
from mmdckd.registry import LOG_PROCESSORS

SEPARATOR = '  '  # between two values of a log line of MMEngine


@LOG_PROCESSORS.register_module()
class CohortLogProcessor(LogProcessor):
    """Logs one line per interval, however many students there are.

    ``scalars.json``, TensorBoard and other backends receive every scalar of
    every member, as from MMEngine's ``LogProcessor``. The console and the log
    file show the total loss, the best student beside the mean over all, and the
    ensemble and teachers. In training the best student is the one with the
    lowest task loss; in validation it is ``best_student`` in the message hub,
    which the loop chooses by its ``best_rule``. With graduates of ``folds``, it
    is one of them. The time left (``eta``) is
    MMEngine's and counts training steps without validation.

    The arguments are those of ``LogProcessor``. Log lines of a model without a
    cohort do not change.

    Examples:
        >>> log_processor = dict(type='mmdckd.CohortLogProcessor')
    """

    def get_log_after_iter(self, runner, batch_idx: int, mode: str) -> Tuple[dict, str]:
        """See ``LogProcessor``."""
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        students = students_of(runner)
        if not students or mode != 'train':
            return tag, line
        losses = task_losses(tag, students)
        if not losses:
            return tag, _without(line, filter(_is_of_a_student, tag))
        best = min(deployed_of(runner), key=losses.__getitem__)
        mean = sum(losses.values()) / len(losses)
        line = _without(line, filter(_is_of_a_student, tag))
        return tag, (
            f'{line}{SEPARATOR}best student: {best} (task loss '
            f'{losses[best]:.{self.num_digits}f}, mean '
            f'{mean:.{self.num_digits}f})'
        )

    def get_log_after_epoch(
        self, runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> Tuple[dict, str]:
        """See ``LogProcessor``."""
        tag, line = super().get_log_after_epoch(
            runner, batch_idx, mode, with_non_scalar
        )
        students = students_of(runner)
        loop = getattr(runner, f'{mode}_loop')
        rule = getattr(loop, 'best_rule', None)
        if not students or rule is None:
            return tag, line
        metric = rule.metric
        # The members that were evaluated by the metric.
        values = {
            names.member_of(key, metric): value
            for key, value in tag.items()
            if names.member_of(key, metric)
        }
        if names.BEST not in values:  # without `RuntimeInfoHook`
            return tag, line
        best = runner.message_hub.get_info('best_student')
        if best not in students:
            own = {name: {metric: values[name]} for name in deployed_of(runner)}
            best = rule.best(own)
        shown = [f'{metric}: {best} (best) {values[names.BEST]:.2f}']
        if len(students) > 1:
            mean = sum(values[name] for name in students) / len(students)
            shown.append(f'mean {mean:.2f}')
        shown += [
            f'{name} {value:.2f}'
            for name, value in values.items()
            if name not in (*students, names.BEST)
        ]
        line = _without(line, filter(names.split_metric, tag))
        return tag, f'{line}{SEPARATOR}{", ".join(shown)}'


def _is_of_a_student(key: str) -> bool:
    found = names.parse_loss(key)
    return found is not None and found.part != names.TEACHER


def _without(line: str, left_out: Iterable[str]) -> str:
    """Remove the values with some names from a log line of MMEngine."""
    known = set(map(names.without_stage, left_out))
    return SEPARATOR.join(
        part
        for part in line.split(SEPARATOR)
        if names.without_stage(part.partition(': ')[0]) not in known
    ).rstrip()
