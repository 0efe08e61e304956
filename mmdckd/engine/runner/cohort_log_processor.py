# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Iterable, Tuple

from mmengine.runner import LogProcessor

from mmdckd import names
from mmdckd.engine.student_losses import students_of, task_losses
from mmdckd.registry import LOG_PROCESSORS

SEPARATOR = '  '  # between two values of a line of MMEngine's


@LOG_PROCESSORS.register_module()
class CohortLogProcessor(LogProcessor):
    """One line an interval, however many students there are.

    ``scalars.json``, TensorBoard and the other back ends get what they get
    from MMEngine's ``LogProcessor``, every scalar of every member. The
    console and the log file get the total loss, the best student (by its task
    loss in training; in validation ``best_student`` in the message hub, which
    the loop notes, by the loop's ``best_rule``) beside the mean of all, and
    what there is of the ensemble and the teachers. The time left (``eta``) is
    MMEngine's, of the training steps without
    validation.

    The arguments are those of ``LogProcessor``. The lines of a model that is
    no cohort are left as they are.

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
        best = min(losses, key=losses.__getitem__)
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
        # The members are those that have been evaluated by the metric.
        values = {
            names.member_of(key, metric): value
            for key, value in tag.items()
            if names.member_of(key, metric)
        }
        if names.BEST not in values:  # without `RuntimeInfoHook`
            return tag, line
        best = runner.message_hub.get_info('best_student')
        if best not in students:
            best = rule.best({name: {metric: values[name]} for name in students})
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
    """A line of MMEngine's without the values of some names."""
    known = set(map(names.without_stage, left_out))
    return SEPARATOR.join(
        part
        for part in line.split(SEPARATOR)
        if names.without_stage(part.partition(': ')[0]) not in known
    ).rstrip()
