# Copyright (c) mmdckd contributors. All rights reserved.
from itertools import cycle
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm

from mmdckd.names import teacher_names
from mmdckd.registry import MODELS

from ..cohorts.fold_plan import FoldPlan
from ..cohorts.peer_folds import PeerFolds
from ..cohorts.student_cohort import StudentCohort
from ..memory_format import use_channels_last
from ..options import check_bool, check_choice
from ..tasks import find_task
from ..weights import loading_whole
from .building import (
    PARALLEL,
    build_cohort,
    build_distiller,
    build_finished_peers,
    build_graphs,
    build_lagged_peers,
    build_preprocessor,
    build_recomputation,
    build_teachers,
    check_first_step,
    members_by_key,
    set_learning,
    teacher_builder,
)
from .cuda_graphs import replaying
from .exchange import Exchange
from .finite_guard import FiniteGuard
from .folded_pass import FoldedPass
from .folding import build_folds
from .layer_depth import layer_depth
from .prediction import predict_members
from .step import StepRecord, split_views
from .student_pass import StudentPass
from .teacher_pass import TeacherPass


@MODELS.register_module()
class CollectiveDistill(BaseAlgorithm):
    r"""Trains a cohort of students that learn from a teacher and from each other.

    The idea is that of Deep Collective Knowledge Distillation
    (arXiv:2304.08878). The paper's equations were not available to this
    project: how predictions are collected and weighted is this project's own
    formulation; see :class:`~mmdckd.models.losses.DCKDLoss`.

    In each step, images are preprocessed once, the teacher runs once without
    gradients, each student runs once, and the distiller computes losses from
    what was recorded. Each student learns from its own losses only.

    Args:
        distiller (dict): Config of a
            :class:`~mmdckd.models.distillers.CollectiveDistiller`.
        teacher (dict | :obj:`BaseModel` | List, optional): The teacher's
            network, or several; see
            :func:`~mmdckd.models.teachers.building.build_teacher`. Collective
            losses see all, MMRazor's losses the first. Defaults to None.
        teacher_ckpt (str, optional): Path or address of the weights of a
            single teacher. Defaults to None.
        teacher_trainable (bool): Whether the teacher learns the task too.
            Defaults to False.
        teacher_norm_eval (bool): Whether a trainable teacher's BatchNorm
            layers keep their statistics. Defaults to True.
        architecture (dict, optional): The network of every student of a
            homogeneous cohort; students are named ``student0``, ``student1``, ...
        num_students (int, optional): The number of students with this
            ``architecture``. Defaults to None, one.
        students (Dict[str, dict], optional): Name to network of a mixed
            cohort, instead of ``architecture`` and ``num_students``.
        views (str): ``'shared'``, or ``'independent'``: each student, and the
            teacher with it, sees its own view, made by MMPretrain's
            ``MultiView``. Defaults to ``'shared'``.
        lagged_peers (dict, optional): ``momentum`` and ``interval`` of
            :class:`~mmdckd.models.cohorts.lagged_peers.LaggedPeers`, the peers of
            collective losses in place of the students. Defaults to None.
        finished_peers (str | dict | Sequence[dict], optional): Trained
            networks, the peers of collective losses in place of the students; see
            :class:`.FinishedPeers`. Defaults to None.
        folds (dict, optional): ``num_folds``, ``graduate`` and ``seed`` of
            :class:`.FoldPlan`: each student is blind to a fold of the training
            images. Defaults to None: every student sees every image.
        allow_random_teacher (bool): Whether a teacher, or a finished peer,
            without weights is accepted. Defaults to False.
        student_trainable (bool): Whether the students train. If False, only
            modules of the distiller do, such as connectors. Defaults to True.
        calculate_student_loss (bool): Whether they have a task loss. Defaults to True.
        data_preprocessor (dict, optional): Config of the data preprocessor.
            Defaults to None, the one of the students.
        init_cfg (dict, optional): Initialization config. Defaults to None.
        module_inplace (bool, optional): Whether modules may work in place.
            Defaults to None: only if nothing but logits is recorded.
        channels_last (bool): Whether to use the channels-last memory format,
            which is usually faster and rounds differently. Defaults to False.
        memory (str, optional): ``'checkpoint'`` keeps the activations of only one
            student at a time; see :class:`.Recomputation`. Defaults to None.
        cuda_graphs (bool, optional): Whether backbones run as CUDA graphs.
            Defaults to None: where possible; see :class:`.CUDAGraphs`.
        parallel (str): What several processes share: ``'data'``, where each
            trains every student on its images, or ``'cohort'``, where each
            trains its own students; see :class:`.CohortMesh`. Defaults to 'data'.
        check_finite_every (int): How often the losses are checked; see
            :class:`.FiniteGuard`. Defaults to 1, every iteration.
        task (str, optional): ``'classification'`` or ``'multi_label'``.
            Defaults to None: the task of the heads.

    Attributes:
        before_stop (Callable, optional): See :meth:`.FiniteGuard.check`;
            :class:`~mmdckd.engine.hooks.SaveOnNonFiniteHook` sets it.
        teacher_pass (TeacherPass): Runs the teachers and finished peers;
            :class:`~mmdckd.engine.hooks.TeacherCacheHook` sets its ``cache``.
        distillation_stopped (bool): Whether students learn from labels alone;
            MMRazor's ``StopDistillHook`` sets it.
        exchange (Exchange, optional): Exchanges logits with processes that
            hold other students; :func:`.spreading.spread` sets it.

    Raises:
        ValueError: If an option is invalid, or the members do not fit together.
    """

    def __init__(
        self,
        distiller: dict,
        teacher: Union[dict, BaseModel, List, None] = None,
        teacher_ckpt: Optional[str] = None,
        teacher_trainable: bool = False,
        teacher_norm_eval: bool = True,
        architecture: Optional[dict] = None,
        num_students: Optional[int] = None,
        students: Optional[Dict[str, dict]] = None,
        views: str = 'shared',
        lagged_peers: Optional[dict] = None,
        finished_peers: Union[str, dict, Sequence[dict], None] = None,
        folds: Optional[dict] = None,
        allow_random_teacher: bool = False,
        student_trainable: bool = True,
        calculate_student_loss: bool = True,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        module_inplace: Optional[bool] = None,
        channels_last: bool = False,
        memory: Optional[str] = None,
        cuda_graphs: Optional[bool] = None,
        parallel: str = 'data',
        check_finite_every: int = 1,
        task: Optional[str] = None,
    ) -> None:
        check_choice('parallel', parallel, PARALLEL)
        check_bool('channels_last', channels_last)
        if cuda_graphs is not None:
            check_bool('cuda_graphs', cuda_graphs)
        cohort = build_cohort(architecture, num_students, students, data_preprocessor)
        super().__init__(cohort, init_cfg=init_cfg, module_inplace=True)
        self.student_trainable = student_trainable
        self.calculate_student_loss = calculate_student_loss
        self.teacher_trainable = teacher_trainable
        build = teacher_builder(
            teacher, teacher_trainable, teacher_norm_eval, allow_random_teacher
        )
        self.teachers = teachers = build_teachers(teacher, teacher_ckpt, build, cohort)
        key = 'students' if architecture is None else 'architecture'
        self.task = find_task(task, members_by_key(cohort, teachers, key))
        self.views, self.memory, self.parallel = views, memory, parallel
        self.data_preprocessor = build_preprocessor(
            self.data_preprocessor, views, len(cohort), teacher_trainable
        )

        self.distiller = build_distiller(distiller, cohort, self.task.name)
        set_learning(cohort, self.distiller, student_trainable, calculate_student_loss)
        if module_inplace is None:
            module_inplace = self.distiller.records_logits_alone
        check_bool('module_inplace', module_inplace)
        self.module_inplace = module_inplace
        networks = [holder.model for holder in teachers]
        if not module_inplace:
            for network in (cohort, *networks):
                self.set_module_inplace_false(network, 'network')
        self.lagged_peers = build_lagged_peers(lagged_peers, cohort, self.distiller)
        self.finished_peers = build_finished_peers(
            finished_peers,
            cohort,
            self.distiller,
            self.lagged_peers,
            allow_random_teacher,
        )
        self.distiller.prepare_from_cohort(cohort)
        self.distiller.prepare_from_teachers(networks)

        self.folds = build_folds(folds, self, cuda_graphs)
        recompute = build_recomputation(memory, cohort, self.distiller)
        self.graphs = build_graphs(
            False if isinstance(self.folds, FoldPlan) else cuda_graphs,
            cohort,
            teachers,
            self.distiller,
            teacher_trainable,
            memory,
        )
        self.teacher_pass = TeacherPass(
            teachers, self.distiller, teacher_trainable, self.finished_peers
        )
        self.student_pass: Union[StudentPass, FoldedPass] = StudentPass(
            cohort,
            self.distiller,
            self.lagged_peers,
            recompute,
            student_trainable,
            calculate_student_loss,
        )
        if isinstance(self.folds, FoldPlan):
            self.student_pass = FoldedPass(
                self.folds, self.student_pass, cohort, self.distiller
            )
        self.channels_last = channels_last
        if channels_last:
            use_channels_last(self)
        self.before_stop: Optional[Callable[[], str]] = None
        self.distillation_stopped = False
        self.exchange: Optional[Exchange] = None
        self._first_step = True
        watched = [self.distiller, *(teachers if teacher_trainable else [])]
        self._guard = FiniteGuard(cohort.students, watched, check_finite_every)

    def init_weights(self) -> None:
        """Initialize every member, then load what ``init_cfg`` names; see
        :func:`~mmdckd.models.weights.loading_whole`."""
        if self.channels_last:
            # Random values fill memory in order, so the layout must not differ.
            self.to(memory_format=torch.contiguous_format)
        with loading_whole(self):
            super().init_weights()
        if self.channels_last:
            use_channels_last(self)

    @property
    def cohort(self) -> StudentCohort:
        """:obj:`StudentCohort`: Alias of ``architecture``."""
        return self.architecture

    @property
    def teacher_names(self) -> List[str]:
        """List[str]: See :func:`mmdckd.names.teacher_names`."""
        return teacher_names(len(self.teachers))

    def get_layer_depth(self, param_name: str) -> Tuple[int, int]:
        """Return the depth of a parameter's layer; see :func:`.layer_depth`."""
        return layer_depth(self, param_name)

    def loss(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> Dict[str, torch.Tensor]:
        """Run every member once and compute all losses.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W), or one such
                tensor a view.
            data_samples (list, optional): B data samples with the labels, or
                one such list a view.

        Returns:
            Dict[str, Tensor]: Losses and statistics; :mod:`mmdckd.names` names them.

        Raises:
            ValueError: In the first step, if the data does not fit the model.
            FloatingPointError: If a loss is not finite; see :meth:`.FiniteGuard.check`.
        """
        if self._first_step:
            check_first_step(self)
        self._guard.remember()
        views = split_views(inputs, data_samples, self.views, self.channels_last)
        step = StepRecord(samples=views[-1].samples)
        distiller, distilling = self.distiller, not self.distillation_stopped
        losses: Dict[str, torch.Tensor] = {}
        with replaying(self, views[0].inputs):
            for i, (name, view) in enumerate(zip(self.cohort.held, cycle(views))):
                if i < len(views):  # The first student that sees this view.
                    losses.update(self.teacher_pass(view, step, distilling))
                losses.update(self.student_pass(name, view, step, distilling))
                if distilling:
                    losses.update(distiller.compute_distill_losses(name, view.samples))
        if self.exchange is not None:
            losses = self.exchange(step, losses)
        if distilling:
            blind = None
            if isinstance(self.folds, PeerFolds):
                blind = self.folds.blind(step.samples, views[-1].inputs.device)
            collective = distiller.compute_collective_losses(
                step.students,
                step.teachers,
                step.samples,
                step.peers,
                step.finished,
                step.folds,
                blind,
            )
            losses.update(collective)
        self._first_step = False
        self._guard.check(losses, step, self._undo, self.before_stop)
        return losses

    def _undo(self) -> None:
        """Undo what a step changed, except buffers, which the guard restores."""
        self.zero_grad()
        if self.lagged_peers is not None and not self.distillation_stopped:
            self.lagged_peers.step_back()

    def parse_losses(
        self, losses: Dict[str, torch.Tensor]
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        """Sum the losses of :meth:`loss`; the values to log are already on the
        CPU, see :meth:`.FiniteGuard.values`."""
        total, log = super().parse_losses(losses)
        return total, self._guard.values(losses, log)

    def _predict(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> List[BaseDataElement]:
        """Predict with the first student to deploy."""
        first = self.cohort.students[self.cohort.deployed[0]]
        return first(inputs, data_samples, mode='predict')

    def predict_members(
        self,
        inputs: torch.Tensor,
        data_samples: List[BaseDataElement],
        teacher: bool = True,
    ) -> Dict[str, List[BaseDataElement]]:
        """Predict with every member; see :func:`.prediction.predict_members`."""
        teachers = self.teachers if teacher else []
        return predict_members(
            self.cohort, teachers, self.task, inputs, data_samples, self.exchange
        )

    def _apply(self, fn: Callable, *args, **kwargs) -> 'CollectiveDistill':
        """Move frozen networks to the device and type as well, although they are
        not submodules."""
        if not self.teacher_trainable:
            for teacher in self.teachers:
                teacher.apply(fn)
        if self.finished_peers is not None:
            self.finished_peers.apply(fn)
        return super()._apply(lambda x: x if x.is_meta else fn(x), *args, **kwargs)
