# Copyright (c) mmdckd contributors. All rights reserved.
"""Run one distiller of MMRazor for each student."""

import copy
from collections import deque
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Hashable, Iterator, List, Optional, Sequence

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmrazor.models.distillers import BYOTDistiller, ConfigurableDistiller, OFDDistiller
from mmrazor.models.task_modules import DistillDeliveryManager, RecorderManager
from mmrazor.models.task_modules.recorder import ParameterRecorder
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from mmdckd.console.messages import warn
from mmdckd.registry import MODELS

from ..cohorts.student_cohort import StudentCohort, student_seed
from ..options import under
from ..tasks.labels import has_labels, labeled_rows, missing_labels
from .loss_selection import parts_for_student
from .recorder_checks import check_margins, check_sources, returns_logits, trains
from .shape_guard import guard_shapes

STUDENT_KEY, TEACHER_KEY = 'distiller.student_recorders', 'distiller.teacher_recorders'


class StudentDistillers:
    """Holds one distiller of MMRazor for each student, all from the same config.

    Each distiller has its own recorders, connectors and losses. The recorders
    of the teacher are shared, as it runs once for all students.

    Args:
        cfg (dict): Config of the distiller; empty for none.
        names (List[str]): The names of the students.

    Attributes:
        modules (nn.ModuleDict): Student to distiller; empty without a config.
    """

    def __init__(self, cfg: dict, names: List[str]) -> None:
        self.modules = nn.ModuleDict()
        for index, name in enumerate(names if cfg else []):
            parts = parts_for_student(cfg, name, names)
            with student_seed(index), DefaultScope.overwrite_default_scope('mmrazor'):
                self.modules[name] = MODELS.build(parts)
            if not index:
                _tell_unmapped(self.modules[name])
            guard_shapes(self.modules[name])
        #: Whether each student is its own teacher.
        self.self_taught = any(isinstance(each, BYOTDistiller) for each in self._all)
        if not self.self_taught:
            for each in self._all:
                each.teacher_recorders = self._all[0].teacher_recorders

    @property
    def _all(self) -> List[Any]:
        return list(self.modules.values())

    @property
    def deliver(self) -> bool:
        """bool: Whether the teacher's values replace the students'."""
        return any(each.deliveries.deliveries for each in self._all)

    @property
    def needs_teacher(self) -> bool:
        """bool: Whether a distiller uses the teacher."""
        return self.deliver or any(
            each.teacher_recorders.recorders and not self.self_taught
            for each in self._all
        )

    @property
    def records_logits_alone(self) -> bool:
        """bool: Whether only logits are recorded; see
        :func:`~.recorder_checks.returns_logits`."""
        return all(returns_logits(each) for each in self._all)

    def lesson(self, name: str) -> Optional[Hashable]:
        """Return what tells a student's losses of MMRazor from those of others.

        Args:
            name (str): The student's name.

        Returns:
            Hashable, optional: The losses, and the name if they have weights, as
            each student's connectors do; None without a distiller.
        """
        if name not in self.modules:
            return None
        distiller: Any = self.modules[name]
        losses = tuple(getattr(distiller, 'loss_forward_mappings', None) or ())
        has_weights = any(True for _ in distiller.parameters())
        return losses, name if has_weights else None

    def attach_students(self, cohort: StudentCohort) -> None:
        """Attach the students' recorders.

        Raises:
            ValueError: If a recorder's source does not exist, or returns a margin.
        """
        for name, each in self.modules.items():
            student = cohort.students[name]
            with under(f'students.{name}'):
                check_sources(each.student_recorders, student, STUDENT_KEY)
                check_margins(each.student_recorders, student, STUDENT_KEY)
                if self.self_taught:
                    check_sources(each.teacher_recorders, student, TEACHER_KEY)
                    check_margins(each.teacher_recorders, student, TEACHER_KEY)
            each.prepare_from_student(student)
            if self.self_taught:
                each.prepare_from_teacher(student)

    def attach_teacher(self, teacher: BaseModel) -> None:
        """Attach the teacher's recorders, and compute OFD's margins from it.

        Raises:
            ValueError: If a recorder's source does not exist, or returns a margin.
        """
        if self._all and not self.self_taught:
            first = self._all[0]
            check_sources(first.teacher_recorders, teacher, TEACHER_KEY)
            if trains(teacher):
                check_margins(first.teacher_recorders, teacher, TEACHER_KEY)
            first.prepare_from_teacher(teacher)
        for each in self._all:
            if isinstance(each, OFDDistiller):
                each.init_ofd_connectors(teacher)

    @contextmanager
    def recording_teacher(self) -> Iterator[None]:
        """Record the teacher while it runs inside this context."""
        if not self._all:
            yield
            return
        first, *others = self._all
        first.set_deliveries_override(False)
        for delivery in first.deliveries.deliveries.values():
            # With independent views, other students took what it holds.
            delivery.data_queue.clear()
        with ExitStack() as stack:
            if not self.self_taught:
                stack.enter_context(first.teacher_recorders)
            stack.enter_context(first.deliveries)
            yield
        if not self.self_taught:
            _detach_records(first.teacher_recorders)
        _detach_deliveries(first.deliveries)
        for each in others:
            _hand_over(first.deliveries, each.deliveries)

    @contextmanager
    def recording_student(self, name: str) -> Iterator[None]:
        """Record one student while it runs inside this context."""
        if name not in self.modules:
            yield
            return
        distiller: Any = self.modules[name]
        distiller.set_deliveries_override(True)
        with ExitStack() as stack:
            stack.enter_context(distiller.student_recorders)
            if self.self_taught:
                stack.enter_context(distiller.teacher_recorders)
            stack.enter_context(distiller.deliveries)
            yield

    def compute_losses(
        self, name: str, samples: Optional[Sequence[BaseDataElement]]
    ) -> Dict[str, torch.Tensor]:
        """Compute MMRazor's losses of one student.

        Args:
            name (str): The student's name.
            samples (Sequence[DataSample], optional): The batch.

        Returns:
            Dict[str, Tensor]: Loss to its value.

        Raises:
            ValueError: If there are no labels and a loss needs a record of the
                student's task loss.
        """
        if name not in self.modules:
            return {}
        distiller: Any = self.modules[name]
        if not has_labels(samples):
            _check_unlabeled(distiller, samples)
        return distiller.compute_distill_losses()


def _tell_unmapped(distiller: ConfigurableDistiller) -> None:
    """Warn of losses without inputs. MMRazor has them for other stages of a
    training, such as the pretraining of Factor Transfer."""
    mappings = distiller.loss_forward_mappings
    left = [name for name in distiller.distill_losses if name not in mappings]
    if left:
        warn(
            '`distiller.distill_losses` has losses that are not computed, as '
            f'`distiller.loss_forward_mappings` has no inputs for them: {left}.'
        )


def _check_unlabeled(
    distiller: Any, samples: Optional[Sequence[BaseDataElement]]
) -> None:
    mappings = getattr(distiller, 'loss_forward_mappings', None) or {}
    for loss, mapping in mappings.items():
        for record in mapping.values():
            if not record['from_student']:
                continue
            recorder = distiller.student_recorders.get_recorder(record['recorder'])
            if _sees_task_loss(recorder, samples):
                raise missing_labels(
                    f'`distiller.distill_losses.{loss}` (its recorder '
                    f'{record["recorder"]!r} sees the task loss)',
                    samples,
                    'drop this loss',
                )


def _sees_task_loss(
    recorder: BaseRecorder, samples: Optional[Sequence[BaseDataElement]]
) -> bool:
    """Tell whether a recorder belongs to the task loss: if images have no
    labels, it has recorded nothing, or only the rows with labels."""
    rows = labeled_rows(samples)
    if not recorder.data_buffer or not rows or isinstance(recorder, ParameterRecorder):
        return not recorder.data_buffer
    record = recorder.data_buffer[-1]
    tensors = record if isinstance(record, (tuple, list)) else [record]
    return any(
        isinstance(x, torch.Tensor) and x.ndim > 0 and len(x) == len(rows)
        for x in tensors
    )


def _detach_deliveries(manager: DistillDeliveryManager) -> None:
    """Detach what a trainable teacher delivers: it does not learn from students."""
    for delivery in manager.deliveries.values():
        delivered = map(_detach, delivery.data_queue)
        delivery.data_queue = deque(delivered, delivery.max_keep_data)


def _hand_over(source: DistillDeliveryManager, target: DistillDeliveryManager) -> None:
    """Copy the queues of a delivery manager to another one."""
    for name, delivery in target.deliveries.items():
        delivery.data_queue = copy.copy(source.deliveries[name].data_queue)


def _detach_records(recorders: RecorderManager) -> None:
    """Detach the records of a trainable teacher, as not every loss of MMRazor
    detaches its target."""
    for recorder in recorders.recorders.values():
        recorder.data_buffer[:] = map(_detach, recorder.data_buffer)


def _detach(record):
    if isinstance(record, torch.Tensor):
        return record.detach()
    if type(record) in (tuple, list):
        return type(record)(map(_detach, record))
    return record
