# Copyright (c) mmdckd contributors. All rights reserved.
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import (
    Callable,
    ContextManager,
    Dict,
    Iterable,
    List,
    Optional,
    Tuple,
    Union,
)

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm
from torch import nn

from mmdckd.names import (
    COLLECTIVE,
    DISTILL,
    ENSEMBLE,
    STUDENT,
    TEACHER,
    is_loss,
    name_losses,
    parse_loss,
    student_names,
    student_of,
    teacher_names,
)
from mmdckd.registry import MODELS

from ..cohorts.lagged_peers import LaggedPeers
from ..cohorts.student_cohort import StudentCohort
from ..tasks import find_task, has_labels
from ..tasks.labels import drop_partial_labels, missing_labels
from ..teachers import FrozenTeacher, TrainableTeacher
from ..teachers.logits_cache import LogitsCache, check_lookup
from ..weights import load_pretraining
from .buffer_snapshot import BufferSnapshot
from .cuda_graphs import CUDAGraphs
from .finite_losses import agreed, describe_losses, look_at
from .layer_depth import layer_depth
from .recomputation import Recomputation
from .send_ahead import send_ahead
from .view_preprocessor import ViewPreprocessor


@MODELS.register_module()
class CollectiveDistill(BaseAlgorithm):
    r"""A cohort of students that learn from a teacher and from each other.

    The idea is that of Deep Collective Knowledge Distillation
    (arXiv:2304.08878). The paper's equations were not available to this
    project: how the knowledge is collected and weighted is this project's own
    formulation, see :class:`~mmdckd.models.losses.DCKDLoss`.

    In one step the images are preprocessed once, the teacher runs once
    without gradient, each student runs once, and the distiller turns what was
    recorded into losses, each student's parameters receiving gradient from
    that student's losses alone:

    .. math:: L = \sum_i L_i

    Args:
        distiller (dict): Config of a
            :class:`~mmdckd.models.distillers.CollectiveDistiller`.
        teacher (dict | :obj:`BaseModel` | List, optional): The teacher's
            network, or several; see
            :func:`~mmdckd.models.teachers.building.build_teacher`. With
            several, collective losses see all, and MMRazor's losses the
            first. Defaults to None: the students have only each other.
        teacher_ckpt (str, optional): Path or address of the weights of a
            single teacher. Defaults to None.
        teacher_trainable (bool): Whether the teacher learns the task too.
            Defaults to False.
        teacher_norm_eval (bool): Whether a trainable teacher's BatchNorm
            layers keep their statistics. Defaults to True.
        architecture (dict, optional): The network of every student of a
            homogeneous cohort; they are named ``student0``, ``student1``, ...
        num_students (int, optional): How many there are of ``architecture``.
            Defaults to None, one.
        students (Dict[str, dict], optional): Name to network of a mixed
            cohort, instead of ``architecture`` and ``num_students``.
        views (str): ``'shared'``: all students see the same image; or
            ``'independent'``: each sees a view of its own, which MMPretrain's
            ``MultiView`` transform makes. The teacher then runs on every
            view, N times. Defaults to ``'shared'``.
        lagged_peers (dict, optional): Arguments of
            :class:`~mmdckd.models.cohorts.lagged_peers.LaggedPeers`,
            ``momentum`` and ``interval``: collective losses then collect from
            copies of the students that lag behind, which run once more each.
            Defaults to None: from the students themselves.
        on_nonfinite (str): What happens when a loss is not finite, before
            anything is updated. ``'stop'``, the only choice: the run stops.
            Defaults to ``'stop'``.
        allow_random_teacher (bool): Whether a teacher without weights is
            accepted. Defaults to False.
        student_trainable (bool): Whether the students learn. If not, only
            what the distiller has of its own does, as when MMRazor pretrains
            connectors; ``calculate_student_loss`` is False then. Defaults to
            True.
        calculate_student_loss (bool): Whether the students' own task loss is
            part of the loss. Defaults to True.
        data_preprocessor (dict, optional): Config of the data preprocessor.
            Defaults to None, that of the students.
        init_cfg (dict, optional): Initialization config; a checkpoint that
            it names must fit. Defaults to None.
        module_inplace (bool, optional): Whether in-place modules of students
            and teacher stay in place. They overwrite what recorders have
            recorded before them. Defaults to None: they do where nothing is
            recorded but logits, which changes no result.
        channels_last (bool): Whether the weights of convolutions, and with
            them the feature maps, of all members are laid out with channels
            last. Most devices are faster with it; results differ by their
            rounding. Defaults to False.
        memory (str, optional): ``'checkpoint'`` recomputes the activations
            of the students in the backward pass, one student at a time, so
            that N students need the memory of one. Results stay the same, to
            the bit where the device is deterministic; it costs one more
            forward pass of every student. See
            :class:`~mmdckd.models.algorithms.recomputation.Recomputation`.
            Defaults to None: all activations are kept.
        cuda_graphs (bool, optional): Whether the backbones of all members are
            replayed as CUDA graphs, which frees small networks from waiting
            for the host. Results stay the same, to the bit where the device
            is deterministic. For one process, frozen teachers, and
            distillers that record nothing but logits; no effect on a CPU.
            See :class:`~mmdckd.models.algorithms.cuda_graphs.CUDAGraphs`.
            Defaults to None: wherever this is so.

    Attributes:
        task (Classification): What depends on the task: labels,
            distributions, ensembles.
        before_stop (Callable, optional): Called before a loss that is not
            finite stops the run, when all is as before the step; returns the
            path of the checkpoint that it has written.
            :class:`~mmdckd.engine.hooks.SaveOnNonFiniteHook` sets it.
        teacher_cache (LogitsCache, optional): Has the teacher's logits, which
            does not run then.
            :class:`~mmdckd.engine.hooks.TeacherCacheHook` sets it.

    Raises:
        ValueError: If the members do not fit together; the message names the
            config key, what was found and what would be right.

    Note:
        Losses are named ``student.<name>.<loss>`` (the task),
        ``distill.<name>.<loss>`` (MMRazor's) and
        ``collective.<name>.<loss>.<term>``; statistics are beside the latter
        under names without "loss". A trainable teacher's are
        ``teacher.<loss>``.
    """

    VIEWS = ('shared', 'independent')
    ON_NONFINITE = ('stop',)
    MEMORY = (None, 'checkpoint')

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
        on_nonfinite: str = 'stop',
        allow_random_teacher: bool = False,
        student_trainable: bool = True,
        calculate_student_loss: bool = True,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        module_inplace: Optional[bool] = None,
        channels_last: bool = False,
        memory: Optional[str] = None,
        cuda_graphs: Optional[bool] = None,
        task: Optional[str] = None,
    ) -> None:
        cohort = _build_cohort(architecture, num_students, students, data_preprocessor)
        super().__init__(cohort, init_cfg=init_cfg, module_inplace=True)
        if calculate_student_loss and not student_trainable:
            raise ValueError(
                '`student_trainable=False` and `calculate_student_loss=True` '
                'exclude each other: the students would have a loss and not '
                'learn from it. Set `calculate_student_loss=False` to train '
                'connectors alone.'
            )
        self.student_trainable = student_trainable
        if not student_trainable:
            # Several processes would wait for gradients that never come.
            cohort.requires_grad_(False)
        self.calculate_student_loss = calculate_student_loss
        self.teacher_trainable = teacher_trainable
        build: Callable
        if teacher_trainable:
            build = partial(TrainableTeacher, norm_eval=teacher_norm_eval)
        else:
            build = partial(FrozenTeacher, allow_random=allow_random_teacher)
        teachers = _build_teachers(teacher, teacher_ckpt, build)
        if teacher_trainable:
            teachers = nn.ModuleList(teachers)
        self.teachers = teachers
        for holder in teachers:
            holder.adapt.see_through(self.data_preprocessor)
            self._check_classes(holder)
        self.task = find_task(
            task, self._networks('students' if architecture is None else '')
        )
        self.data_preprocessor.register_forward_pre_hook(
            drop_partial_labels, with_kwargs=True
        )

        self.views = views
        self._set_up_views()
        self.data_preprocessor.register_forward_pre_hook(send_ahead)
        # Without a scope of its own, what the distiller is made of is looked
        # up here and in MMRazor.
        self.distiller = MODELS.build(
            {
                '_scope_': 'mmdckd',
                **distiller,
                'student_names': cohort.names,
                'task': self.task.name,
            }
        )
        self._set_up_inplace(module_inplace)
        self.lagged_peers = self._build_lagged_peers(lagged_peers, distiller)
        self.distiller.prepare_from_cohort(cohort)
        self.distiller.prepare_from_teachers([t.model for t in teachers])
        if on_nonfinite not in self.ON_NONFINITE:
            raise ValueError(
                'Invalid `on_nonfinite`: expected one of '
                f'{self.ON_NONFINITE}, got {on_nonfinite!r}. '
                'The run stops where a loss is not finite.'
            )
        self.before_stop: Optional[Callable[[], str]] = None
        self.teacher_cache: Optional[LogitsCache] = None
        #: Set by MMRazor's ``StopDistillHook``.
        self.distillation_stopped = False
        self._checked = False
        self._logged: Dict[str, torch.Tensor] = {}
        self._recompute = self._build_recomputation(memory)
        self._graphs = self._build_graphs(cuda_graphs)
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def _networks(self, key: str) -> Dict[str, BaseModel]:
        """Every network by its config key; equal students are one."""
        networks = {
            f'{key}.{name}' if key else 'architecture': student
            for name, student in self.cohort.items()
        }
        several = len(self.teachers) > 1
        for i, holder in enumerate(self.teachers):
            networks[f'teacher[{i}]' if several else 'teacher'] = holder.model
        return networks

    def _set_up_views(self) -> None:
        if self.views not in self.VIEWS:
            raise ValueError(
                f'`views` should be one of {self.VIEWS}, but got {self.views!r}.'
            )
        if self.views == 'shared':
            return
        if getattr(self.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                "`views='independent'` and batch augments (mixup, CutMix) "
                "exclude each other: mixed differently, the students' images "
                'would no longer show the same. Drop `train_cfg.augments`, or '
                "set `views='shared'`."
            )
        if self.teacher_trainable:
            raise ValueError(
                "`views='independent'` and `teacher_trainable=True` exclude "
                'each other: the teacher would learn from every view of an '
                'image at once. Keep one.'
            )
        self.data_preprocessor = ViewPreprocessor(
            self.data_preprocessor, len(self.cohort)
        )

    def _set_up_inplace(self, inplace: Optional[bool]) -> None:
        if inplace is None:
            inplace = self.distiller.records_logits_alone
        self.module_inplace = inplace
        if not inplace:
            for network in (self.cohort, *(t.model for t in self.teachers)):
                self.set_module_inplace_false(network, 'network')

    def _build_recomputation(self, memory: Optional[str]) -> Optional[Recomputation]:
        if memory not in self.MEMORY:
            raise ValueError(
                f'Invalid `memory`: expected one of {self.MEMORY}, got {memory!r}.'
            )
        if memory is None:
            return None
        self.distiller.check_recomputable()
        return Recomputation(self.cohort.students)

    def _build_graphs(self, cuda_graphs: Optional[bool]) -> Optional[CUDAGraphs]:
        if cuda_graphs is False:
            return None
        obstacles = {
            "`memory='checkpoint'`, which runs the students twice": self._recompute
            is not None,
            '`distiller` recording more than logits, inside the graphs': not self.distiller.records_logits_alone,
            '`teacher_trainable=True`': self.teacher_trainable,
            'several processes': get_world_size() > 1,
        }
        found = [what for what, is_there in obstacles.items() if is_there]
        if not found:
            return CUDAGraphs(self.cohort, self.teachers)
        if cuda_graphs:
            raise ValueError(
                'Invalid `cuda_graphs`: expected None or False '
                f'with {found[0]}, got True.'
            )
        return None

    def _build_lagged_peers(
        self, cfg: Optional[dict], distiller: dict
    ) -> Optional[LaggedPeers]:
        if cfg is None:
            return None
        if not self.distiller.collective_losses:
            raise ValueError(
                '`lagged_peers` are for collective losses, but '
                '`distiller.collective_losses` has none.'
            )
        return LaggedPeers(self.cohort, logits=distiller.get('student_logits'), **cfg)

    def init_weights(self) -> None:
        """Initialise every member, then load what ``init_cfg`` names.

        MMEngine would load it whatever fits, and only log the rest.

        Raises:
            ValueError: If the checkpoint of a ``Pretrained`` config has keys
                that the model has not, or other shapes; see
                :func:`~mmdckd.models.weights.load_pretraining`.
        """
        if self.channels_last:
            # What is drawn fills memory in order: as in any other layout.
            self.to(memory_format=torch.contiguous_format)
        self._init_members()
        if self.channels_last:
            self.to(memory_format=torch.channels_last)

    def _init_members(self) -> None:
        cfg = self.init_cfg
        whole = (
            isinstance(cfg, dict)
            and cfg.get('type') == 'Pretrained'
            and not cfg.get('prefix')
        )
        if not whole or self.is_init:
            super().init_weights()
            return
        self.init_cfg = None
        super().init_weights()
        self.init_cfg = cfg
        load_pretraining(self, cfg['checkpoint'], 'model.init_cfg.checkpoint')

    @property
    def cohort(self) -> StudentCohort:
        """:obj:`StudentCohort`: Alias of ``architecture``."""
        return self.architecture

    def get_layer_depth(self, param_name: str) -> Tuple[int, int]:
        """How deep a parameter lies in its member, for layer-wise decay of
        the learning rate; see :func:`~.layer_depth.layer_depth`."""
        return layer_depth(self, param_name)

    @property
    def teacher_names(self) -> List[str]:
        """List[str]: ``teacher``, or ``teacher0``, ``teacher1``, ... of
        several."""
        return teacher_names(len(self.teachers))

    def loss(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> Dict[str, torch.Tensor]:
        """Run every member once and compute all losses.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W); with
                independent views, one such tensor a student.
            data_samples (List[BaseDataElement], optional): B data samples
                with the labels; with independent views, one such list a
                student.

        Returns:
            Dict[str, Tensor]: Losses and statistics by name.

        Raises:
            ValueError: In the first step, if two students start bitwise
                equal, or labels are none that collective losses can use.
            FloatingPointError: If a loss is not finite; see ``on_nonfinite``.
        """
        if not self._checked:
            trained = list(self.teachers) if self.teacher_trainable else []
            self._before = BufferSnapshot(
                self.cohort, self.distiller.collective_losses, *trained
            )
        before = self._before
        before.take()
        if self.channels_last and self.views == 'shared':
            # Once, and not in the first layer of every member.
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self._replaying(inputs):
            losses, step = self._run_members(inputs, data_samples)
        losses.update(self._collective_losses(step))
        self._checked = True
        self._logged, finite = look_at(losses)
        if not all(finite.values()):
            self._stop(losses, finite, step, before)
        return losses

    def parse_losses(
        self, losses: Dict[str, torch.Tensor]
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        """Sum the losses; the values to log are on the CPU already.

        :meth:`loss` has copied them, all at once, as it looked whether they
        are finite. MMEngine would look at one value after another, and wait
        for the device each time.

        Args:
            losses (Dict[str, Tensor]): Losses and statistics by name, as the
                last :meth:`loss` returned them.

        Returns:
            tuple: The total loss, and the values by name, without their
            graphs.
        """
        total, log = super().parse_losses(losses)
        values, self._logged = self._logged, {}
        if list(values) != list(losses):
            values, _ = look_at(log)
            return total, values
        terms = [value for name, value in values.items() if is_loss(name)]
        return total, {'loss': sum(terms, torch.zeros(())), **values}

    def _replaying(self, inputs) -> ContextManager:
        # `compile=True` puts a compiled step in the place of the method.
        compiled = 'train_step' in vars(self)
        if self._graphs is None or not self.student_trainable or compiled:
            return nullcontext()
        shared = self.views == 'shared'
        return self._graphs.replaying(inputs if shared else inputs[0])

    def _run_members(self, inputs, data_samples) -> tuple:
        """Run teachers and students.

        Returns:
            tuple: The losses but for the collective ones, and a
            :class:`_Step`.
        """
        shared = self.views == 'shared'
        if getattr(self, '_is_fsdp_managed_module', False):
            raise RuntimeError(
                'A cohort cannot be sharded: validation, export and what '
                'students know of each other need them whole. Train with '
                'MMDistributedDataParallel, the default, in place of '
                'FSDPStrategy or MMFullyShardedDataParallel.'
            )
        if not self._checked and shared:
            self.cohort.check_distinct()
        if shared:
            inputs, data_samples = repeat(inputs), repeat(data_samples)

        distiller, distilling = self.distiller, not self.distillation_stopped
        losses: Dict[str, torch.Tensor] = {}
        step = _Step()
        lagging = self.lagged_peers if distilling else None
        if lagging is not None:
            lagging.follow(self.cohort)
        for (name, student), view, samples in zip(
            self.cohort.items(), inputs, data_samples
        ):
            step.samples = samples
            labelled = self._check_labelled(samples)
            if not (shared and step.logits) and (
                self.teacher_trainable or distilling and distiller.needs_teacher
            ):
                teacher_logits, teacher_losses = self.run_teachers(view, samples)
                losses.update(teacher_losses)
            elif not step.logits:
                teacher_logits = None
            with (
                distiller.recording_student(name),
                nullcontext() if self.student_trainable else torch.no_grad(),
            ):
                task_losses = self._run_student(
                    name, student, view, samples, 'loss' if labelled else 'tensor'
                )
            step.logits[name] = distiller.pop_student_logits(name)
            step.teacher_logits[name] = teacher_logits
            if lagging is not None:
                step.peer_logits[name] = lagging(name, view)
            if self.calculate_student_loss:
                losses.update(name_losses(STUDENT, name, task_losses))
            if distilling:
                if not labelled:
                    distiller.check_unlabelled(name, samples)
                losses.update(
                    name_losses(DISTILL, name, distiller.compute_distill_losses(name))
                )
        return losses, step

    def _run_student(
        self,
        name: str,
        student: BaseModel,
        inputs: torch.Tensor,
        samples: Optional[List[BaseDataElement]],
        mode: str,
    ) -> Dict[str, torch.Tensor]:
        if self._recompute is None or not self.student_trainable:
            return student(inputs, samples, mode=mode)
        return self._recompute(name, student, inputs, samples, mode=mode)

    def _check_labelled(self, samples: Optional[List[BaseDataElement]]) -> bool:
        """Whether a batch has labels.

        Raises:
            ValueError: If it has none, and a task loss needs them.
        """
        if has_labels(samples):
            return True
        if self.calculate_student_loss:
            raise missing_labels(
                'the task loss of the students',
                samples,
                'set `model.calculate_student_loss=False`',
            )
        if self.teacher_trainable:
            raise missing_labels(
                'the task loss of the teacher',
                samples,
                'set `model.teacher_trainable=False`',
            )
        return False

    def run_teachers(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]]
    ) -> Tuple[List[torch.Tensor], Dict[str, torch.Tensor]]:
        """Run every teacher once, or look up what it said.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample], optional): B data samples.

        Returns:
            tuple: The logits of M teachers, each (B, C), none where no
            collective loss wants them; and the losses of those that are
            trained.

        Raises:
            ValueError: In the first step, if what is looked up is not what
                the teacher says.
        """
        if self.teacher_cache is not None:
            logits = self.teacher_cache(inputs, data_samples)
            if not self._checked:
                with self.distiller.recording_teacher():
                    self.teachers[0](inputs)
                check_lookup(logits, self.distiller.pop_teacher_logits()[0])
            return [logits], {}
        losses: Dict[str, torch.Tensor] = {}
        with self.distiller.recording_teacher():
            for name, teacher in zip(self.teacher_names, self.teachers):
                losses.update(name_losses(TEACHER, name, teacher(inputs, data_samples)))
        return self.distiller.pop_teacher_logits(), losses

    def _collective_losses(self, step: '_Step') -> Dict[str, torch.Tensor]:
        distiller = self.distiller
        if self.distillation_stopped or not distiller.collective_losses:
            return {}
        names = list(step.logits)
        first = step.logits[names[0]]
        labels = self.task.gather_labels(step.samples, first.shape[1])
        for name, loss in distiller.collective_losses.items():
            if labels is None and loss.label_users:
                key = f'`distiller.collective_losses.{name}`'
                raise missing_labels(
                    f'{" and ".join(loss.label_users)} of {key}',
                    step.samples,
                    'choose another that looks at no labels',
                )
            if not self._checked and labels is not None:
                # On the CPU, where values are looked at: once.
                loss.check_labels(labels.cpu(), first)
        teacher_logits = [step.teacher_logits[name] for name in names]
        if self.views == 'shared':
            teacher_logits = teacher_logits[:1]
        return distiller.compute_collective_losses(
            list(step.logits.values()),
            [logits for logits in teacher_logits if logits is not None],
            labels,
            list(step.peer_logits.values()),
        )

    def _stop(
        self,
        losses: Dict[str, torch.Tensor],
        finite: Dict[str, bool],
        step: '_Step',
        before: BufferSnapshot,
    ) -> None:
        """Stop for losses that are not finite, all as before the step.

        Raises:
            FloatingPointError: Always; it says whose loss it is, when, and of
                which images.
        """
        message = describe_losses(losses, self._causes(finite, step), step.samples)
        before.restore(self)
        spoilt = [
            name
            for name, student in self.cohort.items()
            if not all(agreed(_all_finite(student.parameters())))
        ]
        saved = self.before_stop and self.before_stop()
        message += ' The run stops before anything is updated' + (
            f'; {saved} has the state before this iteration.'
            if saved
            else '. To have the state before this iteration saved, add '
            "dict(type='mmdckd.SaveOnNonFiniteHook') to `custom_hooks`."
        )
        if spoilt:
            message += (
                f' The weights of {", ".join(spoilt)} are not finite '
                'themselves: a gradient of an earlier iteration was not. Go '
                'back to a checkpoint from before.'
            )
        raise FloatingPointError(
            f'{message} See whether the images are sound; if they are, lower '
            'the learning rate, or clip gradients by '
            '`optim_wrapper.clip_grad`.'
        )

    def _causes(self, finite: Dict[str, bool], step: '_Step') -> List[Optional[str]]:
        """Whose loss is not finite: the names of students, None of a teacher.

        What is not finite in the logits of one is so in the collective losses
        of all that learn from it. The cause is where a student's own losses
        or logits are not.
        """
        bad = [name for name, is_finite in finite.items() if not is_finite]
        causes = {student_of(name) for name in bad if not _is_collective(name)}
        if any(map(_is_collective, bad)):
            teachers = [
                z for logits in step.teacher_logits.values() for z in logits or ()
            ]
            logits = [*step.logits.values(), *teachers]
            owners = [*step.logits, *[None] * len(teachers)]
            flags = agreed(_all_finite(logits))
            causes.update(o for o, is_finite in zip(owners, flags) if not is_finite)
        causes = causes or {student_of(name) for name in bad}
        return sorted(causes, key=str)

    def _predict(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> List[BaseDataElement]:
        """Predict with the first student."""
        first = self.cohort.students[self.cohort.names[0]]
        return first(inputs, data_samples, mode='predict')

    def predict_members(
        self,
        inputs: torch.Tensor,
        data_samples: List[BaseDataElement],
        teacher: bool = True,
    ) -> Dict[str, List[BaseDataElement]]:
        """Predict with every member, each once.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample]): B data samples; they are left as
                they are.
            teacher (bool): Whether the teachers, if there are any, predict
                too. Defaults to True.

        Returns:
            Dict[str, List[DataSample]]: The predictions of each student, of
            the ``ensemble`` (the mean of their probabilities, where there are
            two or more) and of the teachers.
        """
        members = {
            name: student(inputs, [s.new() for s in data_samples], mode='predict')
            for name, student in self.cohort.items()
        }
        if len(members) > 1:
            first = self.cohort.students[self.cohort.names[0]]
            members[ENSEMBLE] = self.task.ensemble(
                list(members.values()), getattr(first, 'head', None)
            )
        if teacher:
            for name, holder in zip(self.teacher_names, self.teachers):
                members[name] = holder.predict(inputs, [s.new() for s in data_samples])
        return members

    def _apply(self, fn: Callable, *args, **kwargs) -> 'CollectiveDistill':
        """Frozen teachers follow to every device and type, though they are no
        modules of this one."""
        if not self.teacher_trainable:
            for teacher in self.teachers:
                teacher.apply(fn)
        return super()._apply(fn, *args, **kwargs)

    def _check_classes(self, teacher) -> None:
        theirs, ours = teacher.num_classes, self.cohort.num_classes
        if theirs and ours and theirs != ours:
            raise ValueError(
                f'`teacher` predicts {theirs} classes and the students '
                f'{ours}. A teacher and its students share their classes: '
                'set `head.num_classes` alike, with a teacher trained on '
                'them.'
            )


@dataclass
class _Step:
    """What one step has recorded, by student.

    Attributes:
        logits (Dict[str, Tensor]): Its logits (B, C); None where no loss
            wants them.
        teacher_logits (Dict[str, List[Tensor]]): Those of M teachers, each
            (B, C), on its view; None where they did not run.
        peer_logits (Dict[str, Tensor]): Those of its lagged copy; empty
            without lagged peers.
        samples (List[DataSample], optional): The batch.
    """

    logits: Dict = field(default_factory=dict)
    teacher_logits: Dict = field(default_factory=dict)
    peer_logits: Dict = field(default_factory=dict)
    samples: Optional[List[BaseDataElement]] = None


def _is_collective(key: str) -> bool:
    found = parse_loss(key)
    return found is not None and found.part == COLLECTIVE


def _all_finite(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack([tensor.isfinite().all() for tensor in tensors])


#: More are a slip of the pen, and would be built until memory ends.
MOST_STUDENTS = 1024


def _build_teachers(
    teacher: Union[dict, BaseModel, List, None],
    checkpoint: Optional[str],
    build: Callable,
) -> List:
    if isinstance(teacher, (list, tuple)):
        if checkpoint:
            raise ValueError(
                '`teacher_ckpt` is for one teacher, and `teacher` lists '
                f'{len(teacher)}: give each its weights by `pretrained`.'
            )
        return [build(cfg) for cfg in teacher]
    if teacher is None:
        if checkpoint:
            raise ValueError(
                f'`teacher_ckpt`={checkpoint!r} is given, but '
                'there is no `teacher` to load it into.'
            )
        return []
    return [build(teacher, checkpoint)]


def _build_cohort(
    architecture: Optional[dict],
    num_students: Optional[int],
    students: Optional[Dict[str, dict]],
    data_preprocessor: Optional[dict],
) -> StudentCohort:
    if (architecture is None) == (students is None):
        raise ValueError(
            'Give either `architecture` with `num_students`, for a cohort of '
            'equal networks, or `students=dict(name=network, ...)`, for a '
            'mixed one; '
            + ('neither is' if students is None else 'both are')
            + ' given.'
        )
    if students is not None:
        if num_students is not None and num_students != len(students):
            raise ValueError(
                f'`num_students`={num_students}, but `students` '
                f'names {len(students)}: {list(students)}.'
            )
        return StudentCohort(students, data_preprocessor)
    num_students = 1 if num_students is None else num_students
    if (
        not isinstance(num_students, int)
        or isinstance(num_students, bool)
        or not 1 <= num_students <= MOST_STUDENTS
    ):
        raise ValueError(
            '`num_students` should be a whole number from 1 to '
            f'{MOST_STUDENTS}, but got {num_students!r}.'
        )
    assert architecture is not None
    return StudentCohort(
        dict.fromkeys(student_names(num_students), architecture),
        data_preprocessor,
        key='architecture',
    )
