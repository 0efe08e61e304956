# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmrazor.models.distillers import BaseDistiller, BYOTDistiller, OFDDistiller
from mmrazor.models.task_modules import RecorderManager
from torch import nn

from mmdckd.names import COLLECTIVE, check_loss_name, is_loss, name_losses
from mmdckd.registry import MODELS

from ..cohorts.student_cohort import StudentCohort, student_seed
from ..networks import classifier_weight
from ..tasks import build_task
from ..tasks.labels import missing_labels
from .loss_selection import parts_for_student
from .recorders import LogitsRecorder, check_margins, check_sources, returns_logits
from .shape_guard import guard_shapes
from .statistics import cohort_statistics


@MODELS.register_module()
class CollectiveDistiller(BaseDistiller):
    """Turns what teacher and students do into named losses.

    It has two parts. For each student, a distiller of MMRazor, unchanged,
    with recorders, connectors and losses of its own, all built from the same
    config. For the cohort, collective losses on the logits of all students
    and the teacher, such as :class:`~mmdckd.models.losses.DCKDLoss`.

    Args:
        student_names (List[str]): The names of the students, given by the
            algorithm.
        collective_losses (Dict[str, dict], optional): Name to config of
            losses for the cohort. A name contains ``"loss"``. Defaults to
            None.
        student_logits (dict, optional): MMRazor recorder config of the
            students' logits. Defaults to None, the output of ``head``.
        teacher_logits (dict, optional): The same of the teacher's. Defaults
            to None, the output of ``head``.
        student_distiller (dict, optional): The type, and further arguments,
            of each student's MMRazor distiller. Defaults to None, a
            ``ConfigurableDistiller`` if it has anything to do. With
            ``BYOTDistiller`` a student is its own teacher: the teacher's
            recorders look at the student. ``OFDDistiller`` takes its margins
            from the first teacher.
        student_recorders (dict, optional): As in MMRazor's
            ``ConfigurableDistiller``, and so are the next five. They apply to
            every student. Types without a scope are MMRazor's or mmdckd's.
        teacher_recorders (dict, optional): See above.
        distill_deliveries (dict, optional): See above.
        connectors (dict, optional): See above; every student has its own.
        distill_losses (dict, optional): See above. A loss whose config lists
            ``students=['student0']`` is theirs alone.
        loss_forward_mappings (dict, optional): See above.
        init_cfg (dict, optional): Initialization config. Defaults to None.
        task (str): The task of the students, given by the algorithm. Defaults
            to ``'classification'``.

    Raises:
        ValueError: If the name of a collective loss lacks ``"loss"``, without
            which MMEngine would not train it.
        TypeError: If a part is no dict of dicts by name.

    Examples:
        >>> distiller = CollectiveDistiller(
        ...     student_names=['student0', 'student1'],
        ...     collective_losses=dict(
        ...         loss_dckd=dict(type='mmdckd.DCKDLoss')))
    """

    def __init__(
        self,
        student_names: List[str],
        collective_losses: Optional[Dict[str, dict]] = None,
        student_logits: Optional[dict] = None,
        teacher_logits: Optional[dict] = None,
        student_distiller: Optional[dict] = None,
        student_recorders: Optional[Dict[str, dict]] = None,
        teacher_recorders: Optional[Dict[str, dict]] = None,
        distill_deliveries: Optional[Dict[str, dict]] = None,
        connectors: Optional[Dict[str, dict]] = None,
        distill_losses: Optional[Dict[str, dict]] = None,
        loss_forward_mappings: Optional[Dict[str, dict]] = None,
        init_cfg: Optional[dict] = None,
        task: str = 'classification',
    ) -> None:
        super().__init__(init_cfg)
        self.student_names = list(student_names)
        self.task = build_task(task)
        parts = dict(
            student_recorders=student_recorders,
            teacher_recorders=teacher_recorders,
            distill_deliveries=distill_deliveries,
            connectors=connectors,
            distill_losses=distill_losses,
            loss_forward_mappings=loss_forward_mappings,
        )
        for key, part in dict(parts, collective_losses=collective_losses).items():
            _check_named(key, part)
        self.collective_losses = nn.ModuleDict()
        for name, loss in (collective_losses or {}).items():
            if not is_loss(name):
                raise ValueError(
                    f'`distiller.collective_losses` has a loss named '
                    f'{name!r}; MMEngine trains what has "loss" in its name: '
                    f'call it "loss_{name}".'
                )
            built = MODELS.build(loss)
            try:
                built.use_task(self.task)
            except ValueError as error:
                raise ValueError(
                    f'`distiller.collective_losses.{name}`: {error}'
                ) from error
            self.collective_losses[name] = built
        self._student_logits_cfg = student_logits
        self._teacher_logits_cfg = teacher_logits

        cfg: Dict[str, Any] = {k: part for k, part in parts.items() if part}
        if student_distiller or cfg:
            cfg.update(student_distiller or {})
            cfg.setdefault('type', 'ConfigurableDistiller')
        self.student_distillers = self._build_student_distillers(cfg)
        distillers = list(self.student_distillers.values())
        self._self_taught = any(
            isinstance(distiller, BYOTDistiller) for distiller in distillers
        )
        if not self._self_taught:
            # The teacher runs once: what it does is recorded once, for all.
            for distiller in distillers:
                distiller.teacher_recorders = distillers[0].teacher_recorders
        self._student_logits: Dict[str, LogitsRecorder] = {}
        self._teacher_logits: List[LogitsRecorder] = []

    def _build_student_distillers(self, cfg: dict) -> nn.ModuleDict:
        distillers = nn.ModuleDict()
        for index, name in enumerate(self.student_names if cfg else []):
            parts = parts_for_student(cfg, name, self.student_names)
            with student_seed(index), DefaultScope.overwrite_default_scope('mmrazor'):
                distillers[name] = MODELS.build(parts)
            guard_shapes(distillers[name])
        return distillers

    @property
    def needs_teacher(self) -> bool:
        """bool: Whether any loss looks at the teacher."""
        return any(
            loss.needs_teacher for loss in self.collective_losses.values()
        ) or any(
            distiller.deliveries.deliveries
            or (distiller.teacher_recorders.recorders and not self._self_taught)
            for distiller in self.student_distillers.values()
        )

    @property
    def takes_teacher_logits_alone(self) -> bool:
        """bool: Whether losses look at the teachers' logits, and at nothing
        else of them."""
        return bool(self._teacher_logits) and not any(
            distiller.deliveries.deliveries
            or (distiller.teacher_recorders.recorders and not self._self_taught)
            for distiller in self.student_distillers.values()
        )

    @property
    def records_logits_alone(self) -> bool:
        """bool: Whether all that is recorded is what a network returns last,
        its logits, so that nothing that runs after could overwrite it."""
        configs = (self._student_logits_cfg, self._teacher_logits_cfg)
        return configs == (None, None) and all(
            returns_logits(distiller) for distiller in self.student_distillers.values()
        )

    def check_recomputable(self) -> None:
        """Check that a student may run a second time, unseen.

        Raises:
            ValueError: If a delivery would feed its first pass alone.
        """
        if any(
            distiller.deliveries.deliveries
            for distiller in self.student_distillers.values()
        ):
            raise ValueError(
                'Invalid `memory`: expected None with '
                '`distiller.distill_deliveries`, which replace what a student '
                'computes in its first pass and not in the one that '
                "recomputes it, got 'checkpoint'."
            )

    def prepare_from_cohort(self, cohort: StudentCohort) -> None:
        """Attach the students' recorders.

        Raises:
            ValueError: If a recorder's source does not exist.
        """
        for name, distiller in self.student_distillers.items():
            student = cohort.students[name]
            check_sources(
                distiller.student_recorders, student, 'distiller.student_recorders'
            )
            check_margins(
                distiller.student_recorders, student, 'distiller.student_recorders'
            )
            distiller.prepare_from_student(student)
            if self._self_taught:
                check_sources(
                    distiller.teacher_recorders, student, 'distiller.teacher_recorders'
                )
                distiller.prepare_from_teacher(student)
        if self.collective_losses:
            for name, student in cohort.items():
                self._student_logits[name] = LogitsRecorder(
                    student, self._student_logits_cfg, 'distiller.student_logits'
                )

    def prepare_from_teachers(self, teachers: List[BaseModel]) -> None:
        """Attach the teachers' recorders, and check that every loss has the
        cohort and the teachers it needs.

        Raises:
            ValueError: If a recorder's source does not exist, or a loss
                cannot be computed on this cohort.
        """
        for name, loss in self.collective_losses.items():
            try:
                loss.check_cohort(len(self.student_names), len(teachers))
            except ValueError as error:
                raise ValueError(
                    f'`distiller.collective_losses.{name}`: {error}'
                ) from error
        if not teachers:
            if self.needs_teacher:
                raise ValueError(
                    '`distiller` has teacher recorders or deliveries, but '
                    'the model has no `teacher`.'
                )
            return
        if self.student_distillers and not self._self_taught:
            first = self.student_distillers[self.student_names[0]]
            check_sources(
                first.teacher_recorders, teachers[0], 'distiller.teacher_recorders'
            )
            first.prepare_from_teacher(teachers[0])
        for distiller in self.student_distillers.values():
            if isinstance(distiller, OFDDistiller):
                distiller.init_ofd_connectors(teachers[0])
        self._give_prototypes(teachers)
        if any(loss.needs_teacher for loss in self.collective_losses.values()):
            self._teacher_logits = [
                LogitsRecorder(
                    teacher, self._teacher_logits_cfg, 'distiller.teacher_logits'
                )
                for teacher in teachers
            ]

    def _give_prototypes(self, teachers: List[BaseModel]) -> None:
        for name, loss in self.collective_losses.items():
            if not loss.needs_prototypes:
                continue
            key = f'distiller.collective_losses.{name}.cost'
            prototypes = []
            for teacher in teachers:
                weight = classifier_weight(teacher)
                if weight is None or weight.requires_grad:
                    reason = (
                        'whose last layer is not linear'
                        if weight is None
                        else 'that is trained itself'
                    )
                    raise ValueError(
                        f'Invalid `{key}`: expected the path of '
                        'an .npy file for a teacher '
                        f'{reason}, got None.'
                    )
                prototypes.append(weight)
            loss.take_prototypes(prototypes)

    @contextmanager
    def recording_teacher(self) -> Iterator[None]:
        """Record the teachers while they run inside this context."""
        distillers = list(self.student_distillers.values())
        with ExitStack() as stack:
            for recorder in self._teacher_logits:
                stack.enter_context(recorder)
            if distillers:
                distillers[0].set_deliveries_override(False)
                if not self._self_taught:
                    stack.enter_context(distillers[0].teacher_recorders)
                stack.enter_context(distillers[0].deliveries)
            yield
        if distillers and not self._self_taught:
            _detach_records(distillers[0].teacher_recorders)
        for distiller in distillers[1:]:
            _hand_over(distillers[0].deliveries, distiller.deliveries)

    @contextmanager
    def recording_student(self, name: str) -> Iterator[None]:
        """Record one student while it runs inside this context."""
        with ExitStack() as stack:
            if name in self._student_logits:
                stack.enter_context(self._student_logits[name])
            if name in self.student_distillers:
                distiller = self.student_distillers[name]
                distiller.set_deliveries_override(True)
                stack.enter_context(distiller.student_recorders)
                if self._self_taught:
                    stack.enter_context(distiller.teacher_recorders)
                stack.enter_context(distiller.deliveries)
            yield

    def pop_student_logits(self, name: str) -> Optional[torch.Tensor]:
        """Take out a student's recorded logits (B, C); None where no
        collective loss wants them."""
        recorder = self._student_logits.get(name)
        return None if recorder is None else recorder.pop()

    def pop_teacher_logits(self) -> List[torch.Tensor]:
        """Take out the recorded logits of the M teachers, each (B, C); none
        where no collective loss wants them."""
        return [recorder.pop() for recorder in self._teacher_logits]

    def check_unlabelled(
        self, name: str, samples: Optional[Sequence[BaseDataElement]]
    ) -> None:
        """Check that MMRazor's losses of a student do without labels, once it
        has run on a batch that has none.

        Args:
            name (str): The student's name.
            samples (Sequence[DataSample], optional): The batch.

        Raises:
            ValueError: If one needs what the student's head records as it
                computes its loss.
        """
        if name not in self.student_distillers:
            return
        distiller = self.student_distillers[name]
        mappings = getattr(distiller, 'loss_forward_mappings', None) or {}
        for loss, mapping in mappings.items():
            for record in mapping.values():
                if not record['from_student']:
                    continue
                recorder = distiller.student_recorders.get_recorder(record['recorder'])
                if not recorder.data_buffer:
                    raise missing_labels(
                        f'`distiller.distill_losses.{loss}` (its recorder '
                        f'{record["recorder"]!r} sees the task loss)',
                        samples,
                        'drop this loss',
                    )

    def compute_distill_losses(self, name: str) -> Dict[str, torch.Tensor]:
        """Compute MMRazor's losses of one student.

        Args:
            name (str): The student's name.

        Returns:
            Dict[str, Tensor]: Loss to its value.
        """
        if name not in self.student_distillers:
            return {}
        return self.student_distillers[name].compute_distill_losses()

    def compute_collective_losses(
        self,
        preds_S: List[torch.Tensor],
        preds_T: List[List[torch.Tensor]],
        gt_labels: Optional[torch.Tensor],
        preds_P: Sequence[torch.Tensor] = (),
    ) -> Dict[str, torch.Tensor]:
        """Compute the losses of the cohort, and its statistics.

        Args:
            preds_S (List[Tensor]): The logits of N students, each (B, C).
            preds_T (List[List[Tensor]]): The logits of M teachers, each
                (B, C), on the view that all students see, or on each
                student's view; empty where the teachers did not run.
            gt_labels (Tensor, optional): Labels (B,), or soft (B, C).
            preds_P (Sequence[Tensor]): The logits of the N students as
                peers, each (B, C), where these are others than ``preds_S``.
                Defaults to ().

        Returns:
            Dict[str, Tensor]: ``collective.<student>.<loss>.<term>`` to its
            value, and what :func:`~.statistics.cohort_statistics` returns.
        """
        if not self.collective_losses:
            return {}
        names = self.student_names
        students = torch.stack(preds_S)
        losses = cohort_statistics(names, students, self.task)
        teachers = [torch.stack(views) for views in zip(*preds_T)]
        if len(preds_T) == 1:
            teachers = [views[0] for views in teachers]
        inputs = [students, torch.stack(teachers) if teachers else None, gt_labels]
        if preds_P:
            inputs.append(torch.stack(tuple(preds_P)))
        for loss_name, loss in self.collective_losses.items():
            for term, values in loss(*inputs).items():
                for name, value in zip(names, values):
                    losses.update(
                        name_losses(COLLECTIVE, name, {f'{loss_name}.{term}': value})
                    )
        return losses


def _check_named(key: str, part: Optional[Dict[str, dict]]) -> None:
    """Check that a part of a config is a dict of dicts by name."""
    if part is None:
        return
    if not isinstance(part, dict):
        raise TypeError(
            f'`distiller.{key}` is a dict of names and configs, but got {part!r}.'
        )
    for name, cfg in part.items():
        if key in ('collective_losses', 'distill_losses'):
            check_loss_name(name, f'distiller.{key}')
        # MMRazor chains the connectors of a list.
        chained = key == 'connectors' and isinstance(cfg, list)
        configs = cfg if chained else [cfg]
        if not all(isinstance(each, dict) for each in configs):
            raise TypeError(f'`distiller.{key}.{name}` is a dict, but got {cfg!r}.')


def _hand_over(source, target) -> None:
    """Give a delivery manager what another has in its queues."""
    for name, delivery in target.deliveries.items():
        delivery.data_queue = copy.copy(source.deliveries[name].data_queue)


def _detach_records(recorders: RecorderManager) -> None:
    """Let no gradient into a trainable teacher; not every loss of MMRazor
    detaches its target."""
    for recorder in recorders.recorders.values():
        recorder.data_buffer[:] = map(_detach, recorder.data_buffer)


def _detach(record):
    if isinstance(record, torch.Tensor):
        return record.detach()
    if type(record) in (tuple, list):
        return type(record)(map(_detach, record))
    return record
