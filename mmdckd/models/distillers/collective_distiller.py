# Copyright (c) mmdckd contributors. All rights reserved.
from contextlib import contextmanager, nullcontext
from typing import Any, Dict, Hashable, Iterator, List, Mapping, Optional, Sequence

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.distillers import BaseDistiller

from mmdckd.names import COLLECTIVE, DISTILL, name_losses
from mmdckd.registry import MODELS

from ..cohorts.batch_folds import BatchFolds, BlindPeers
from ..cohorts.student_cohort import StudentCohort
from ..losses.base_collective_loss import LOGITS
from ..options import under
from ..tasks import build_task
from .cohort_recorders import CohortRecorders
from .collective_losses import (
    build_collective_losses,
    check_cohort,
    check_named,
    check_values,
    gather_labels,
    give_prototypes,
)
from .inputs import CollectiveInputs
from .loss_selection import without_recorders
from .recorders import MemberRecorder, Tensors
from .seen_losses import held_out_losses, seen_losses
from .statistics import cohort_statistics
from .student_distillers import StudentDistillers


@MODELS.register_module()
class CollectiveDistiller(BaseDistiller):
    """Computes the distillation losses of a cohort from recorded outputs.

    It has two parts. For each student, it has a distiller of MMRazor with its
    own recorders, connectors and losses, all built from the same config. For
    the cohort, it has collective losses on records of all students and
    teachers: on logits, such as :class:`~mmdckd.models.losses.DCKDLoss`, or on
    features, such as :class:`~mmdckd.models.losses.RelationMapLoss`.

    Args:
        student_names (List[str]): The names of the students, set by the
            algorithm.
        collective_losses (Dict[str, dict], optional): Name to config of
            losses for the cohort. A name contains ``"loss"``. Defaults to
            None.
        student_logits (dict, optional): MMRazor recorder config of the
            students' logits. Defaults to None: the output of ``head``.
        teacher_logits (dict, optional): MMRazor recorder config of the
            teachers' logits. Defaults to None: the output of ``head``.
        student_distiller (dict, optional): The type, and further arguments,
            of each student's MMRazor distiller. Defaults to None: a
            ``ConfigurableDistiller`` if any of the next six is set. With
            ``BYOTDistiller`` a student is its own teacher: the teacher's
            recorders record the student. ``OFDDistiller`` uses the margins of
            the first teacher.
        student_recorders (dict, optional): As in MMRazor's
            ``ConfigurableDistiller``, like the next five. They apply to every
            student. Types without a scope are MMRazor's or mmdckd's.
            Collective losses refer to recorders by name; see
            :attr:`~mmdckd.models.losses.BaseCollectiveLoss.inputs`.
        teacher_recorders (dict, optional): See above. Losses of MMRazor use
            the first teacher, collective losses use all teachers.
        distill_deliveries (dict, optional): See above.
        connectors (dict, optional): See above; each student has its own.
        distill_losses (dict, optional): See above. A loss whose config lists
            ``students=['student0']`` applies only to these.
        loss_forward_mappings (dict, optional): See above.
        init_cfg (dict, optional): Initialization config. Defaults to None.
        task (str): The task of the students, set by the algorithm. Defaults
            to ``'classification'``.

    Raises:
        ValueError: If the name of a collective loss lacks ``"loss"``, without
            which MMEngine would not train it, or an input of a loss has no
            recorder.
        TypeError: If a part is not a dict of dicts by name.

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
        parts: Dict[str, Optional[dict]] = dict(
            student_recorders=student_recorders,
            teacher_recorders=teacher_recorders,
            distill_deliveries=distill_deliveries,
            connectors=connectors,
            distill_losses=distill_losses,
            loss_forward_mappings=loss_forward_mappings,
        )
        for key, part in parts.items():
            check_named(key, part)
        self.collective_losses = build_collective_losses(collective_losses, self.task)
        self._recorders = CohortRecorders(
            self.collective_losses,
            {**(student_recorders or {}), LOGITS: student_logits},
            {**(teacher_recorders or {}), LOGITS: teacher_logits},
        )
        cfg: Dict[str, Any] = without_recorders(parts, self._recorders.features)
        if student_distiller or cfg:
            cfg.update(student_distiller or {})
            cfg.setdefault('type', 'ConfigurableDistiller')
        self._students = StudentDistillers(cfg, self.student_names)
        self.student_distillers = self._students.modules
        # The first step checks the values of the labels.
        self._first = True

    @property
    def needs_teacher(self) -> bool:
        """bool: Whether any loss uses the teacher."""
        return bool(self._recorders.inputs['teacher']) or self._students.needs_teacher

    @property
    def takes_teacher_logits_alone(self) -> bool:
        """bool: Whether losses use only the logits of the teachers."""
        read = self._recorders.inputs['teacher']
        return read == [LOGITS] and not self._students.needs_teacher

    @property
    def delivers(self) -> bool:
        """bool: Whether the teacher's values replace the students'."""
        return self._students.deliver

    @property
    def held_out(self) -> bool:
        """bool: Whether a loss uses predictions on images to which students are
        blind."""
        return any(loss.held_out for loss in self.collective_losses.values())

    @property
    def trains_logits(self) -> bool:
        """bool: Whether a collective loss trains the logits that students have for
        their teachers and peers, by default those of a second classifier."""
        return self._recorders.train_default_logits(self.student_names)

    @property
    def records_logits_alone(self) -> bool:
        """bool: Whether only logits are recorded, which no later layer can overwrite
        in place."""
        return self._recorders.logits_alone and self._students.records_logits_alone

    def lesson(self, name: str) -> Optional[Hashable]:
        """Return what a student learns from; see :meth:`.StudentDistillers.lesson`."""
        return self._students.lesson(name)

    def check_recomputable(self) -> None:
        """Check that a student's forward pass can be recomputed.

        Raises:
            ValueError: If there are deliveries, which change only the first
                pass.
        """
        if self.delivers:
            raise ValueError(
                'Invalid `memory`: expected None with '
                '`distiller.distill_deliveries`, which change only the first '
                "forward pass and not its recomputation, got 'checkpoint'."
            )

    def prepare_from_cohort(self, cohort: StudentCohort) -> None:
        """Attach the students' recorders.

        Raises:
            ValueError: If a recorder's source does not exist.
        """
        self._students.attach_students(cohort)
        self._recorders.attach_students(cohort)

    def prepare_from_teachers(self, teachers: List[BaseModel]) -> None:
        """Attach the teachers' recorders, and check that every loss has the
        students and teachers that it needs.

        Raises:
            ValueError: If a recorder's source does not exist, or a loss does
                not fit the cohort.
        """
        check_cohort(self.collective_losses, len(self.student_names), len(teachers))
        if not teachers:
            if self.needs_teacher:
                raise ValueError(
                    'Invalid `teacher`: expected one for the teacher recorders or '
                    'deliveries of `distiller`, got None.'
                )
            return
        self._students.attach_teacher(teachers[0])
        give_prototypes(self.collective_losses, teachers)
        self._recorders.attach_teachers(teachers)

    def use_finished_peers(self, number: int) -> None:
        """Let collective losses learn from finished peers.

        Args:
            number (int): The number of finished peers.

        Raises:
            ValueError: If no loss learns from peers, or a loss cannot learn
                from finished ones.
        """
        learns = False
        for name, loss in self.collective_losses.items():
            with under(f'distiller.collective_losses.{name}'):
                learns |= loss.use_finished_peers(number)
        if not learns:
            raise ValueError(
                'Invalid `model.finished_peers`: expected None, as no loss in '
                '`distiller.collective_losses` learns from peers (as '
                f'mmdckd.DCKDLoss with `beta` does), got {number}.'
            )

    def record_student(
        self, student: BaseModel, inputs: Optional[List[str]] = None
    ) -> MemberRecorder:
        """Attach the recorders of collective losses, or only those of some inputs,
        to a student or a peer."""
        return self._recorders.record('student', student, inputs)

    @contextmanager
    def recording_teacher(self, index: int = 0) -> Iterator[None]:
        """Record one teacher while it runs inside this context; losses of MMRazor
        use the first one."""
        also = nullcontext() if index else self._students.recording_teacher()
        with self._recorders.recording_teacher(index), also:
            yield

    @contextmanager
    def recording_student(self, name: str, razor: bool = True) -> Iterator[None]:
        """Record one student while it runs inside this context; with ``razor``, also
        for MMRazor's losses, which uses up what the teacher delivers."""
        also = self._students.recording_student(name) if razor else nullcontext()
        with self._recorders.recording_student(name), also:
            yield

    def pop_student(self, name: str) -> Tensors:
        """Remove and return a student's inputs of collective losses: logits
        (B, C) and features, by name."""
        return self._recorders.pop_student(name)

    def pop_teachers(self) -> List[Tensors]:
        """Remove and return each teacher's inputs of collective losses."""
        return self._recorders.pop_teachers()

    def compute_distill_losses(
        self, name: str, samples: Optional[Sequence[BaseDataElement]] = None
    ) -> Dict[str, torch.Tensor]:
        """Compute MMRazor's losses of one student.

        Args:
            name (str): The student's name.
            samples (List[DataSample], optional): The batch. Defaults to None.

        Returns:
            Dict[str, Tensor]: ``distill.<student>.<loss>`` to its value.

        Raises:
            ValueError: If a loss needs labels and there are none.
        """
        losses = self._students.compute_losses(name, samples)
        return name_losses(DISTILL, name, losses)

    def compute_collective_losses(
        self,
        students: Mapping[str, Tensors],
        teachers: Sequence[Sequence[Tensors]] = (),
        samples: Optional[Sequence[BaseDataElement]] = None,
        peers: Optional[Mapping[str, Tensors]] = None,
        finished: Sequence[Sequence[Tensors]] = (),
        folds: Optional[BatchFolds] = None,
        blind: Optional[Sequence[BlindPeers]] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the collective losses and the statistics of the cohort.

        Args:
            students (Dict[str, Tensors]): Student to its records: logits
                (B, C) and features.
            teachers (List[List[Tensors]]): The records of M teachers, on the
                view that all students see, or on each student's view.
                Defaults to (): the teachers did not run.
            samples (List[DataSample], optional): The batch, with its labels.
                Defaults to None.
            peers (Dict[str, Tensors], optional): The records of N lagged or
                blind peers. Defaults to None: the students are the peers.
            finished (List[List[Tensors]]): The records of P finished peers, in
                the form of ``teachers``. Defaults to (): there are none.
            folds (BatchFolds, optional): The images that each student sees;
                its losses are computed on these. Defaults to None: all.
            blind (List[BlindPeers], optional): The finished peers that are blind
                to each image, for held-out targets. Defaults to None.

        Returns:
            Dict[str, Tensor]: ``collective.<student>.<loss>.<term>`` to its
            value, and the statistics of
            :func:`~.statistics.cohort_statistics`.

        Raises:
            ValueError: If a loss needs labels and there are none, or, in the
                first step, cannot use them; or a loss does not return one
                value for each student.
        """
        if not self.collective_losses:
            return {}
        parts = self.collective_losses
        inputs = CollectiveInputs(students, teachers, peers or {}, finished)
        logits = inputs.students[LOGITS]
        first, self._first = self._first, False
        labels = gather_labels(parts, self.task, samples, logits[0], first)
        losses = cohort_statistics(self.student_names, logits, self.task, folds)
        for loss_name, loss in parts.items():
            preds_S, preds_T, *lagged = inputs.of(loss)
            if loss.held_out and blind is not None:
                terms = held_out_losses(
                    loss, preds_S, preds_T, lagged[0], labels, blind
                )
            elif folds is None:
                terms = loss(preds_S, preds_T, labels, *lagged)
            else:
                asked = inputs.peers.get(LOGITS)
                terms = seen_losses(loss, preds_S, preds_T, asked, labels, folds)
            for term, values in terms.items():
                check_values(f'{loss_name}.{term}', values, len(self.student_names))
                for name, value in zip(self.student_names, values):
                    losses.update(
                        name_losses(COLLECTIVE, name, {f'{loss_name}.{term}': value})
                    )
        return losses
