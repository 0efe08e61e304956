from contextlib import nullcontext
from functools import partial
from itertools import repeat
from typing import Callable, Dict, List, Optional, Union

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm
from mmpretrain.structures import label_to_onehot
from mmrazor.models.utils import add_prefix
from torch import nn

from mmdckd.registry import MODELS
from ..cohorts.lagged_peers import LaggedPeers
from ..cohorts.student_cohort import StudentCohort
from ..teachers import FrozenTeacher, TrainableTeacher
from .ensemble import ensemble_predictions
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
        init_cfg (dict, optional): Initialization config. Defaults to None.
        module_inplace (bool): Whether in-place modules of students and
            teacher stay in place. They would overwrite what recorders have
            recorded before them. Defaults to False.

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

    def __init__(self,
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
                 allow_random_teacher: bool = False,
                 student_trainable: bool = True,
                 calculate_student_loss: bool = True,
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None,
                 module_inplace: bool = False) -> None:
        cohort = _build_cohort(architecture, num_students, students,
                               data_preprocessor)
        super().__init__(
            cohort, init_cfg=init_cfg, module_inplace=module_inplace)
        if calculate_student_loss and not student_trainable:
            raise ValueError(
                '`student_trainable=False` and `calculate_student_loss=True` '
                'exclude each other: the students would have a loss and not '
                'learn from it. Set `calculate_student_loss=False` to train '
                'connectors alone.')
        self.student_trainable = student_trainable
        self.calculate_student_loss = calculate_student_loss
        self.teacher_trainable = teacher_trainable
        if teacher_trainable:
            build = partial(TrainableTeacher, norm_eval=teacher_norm_eval)
        else:
            build = partial(FrozenTeacher, allow_random=allow_random_teacher)
        teachers = _build_teachers(teacher, teacher_ckpt, build)
        if teacher_trainable:
            teachers = nn.ModuleList(teachers)
        self.teachers = teachers
        for holder in teachers:
            if not module_inplace:
                self.set_module_inplace_false(holder.model, 'teacher')
            holder.adapt.see_through(self.data_preprocessor)
            self._check_classes(holder)

        self.views = views
        self._set_up_views()
        # Without a scope of its own, what the distiller is made of is looked
        # up here and in MMRazor.
        self.distiller = MODELS.build({
            '_scope_': 'mmdckd',
            **distiller, 'student_names': cohort.names
        })
        self.lagged_peers = self._build_lagged_peers(lagged_peers, distiller)
        self.distiller.prepare_from_cohort(cohort)
        self.distiller.prepare_from_teachers([t.model for t in teachers])
        #: Set by MMRazor's ``StopDistillHook``.
        self.distillation_stopped = False
        self._checked = False

    def _set_up_views(self) -> None:
        if self.views not in self.VIEWS:
            raise ValueError(f'`views` should be one of {self.VIEWS}, but got '
                             f'{self.views!r}.')
        if self.views == 'shared':
            return
        if getattr(self.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                "`views='independent'` and batch augments (mixup, CutMix) "
                'exclude each other: mixed differently, the students\' images '
                'would no longer show the same. Drop `train_cfg.augments`, or '
                "set `views='shared'`.")
        if self.teacher_trainable:
            raise ValueError(
                "`views='independent'` and `teacher_trainable=True` exclude "
                'each other: the teacher would learn from every view of an '
                'image at once. Keep one.')
        self.data_preprocessor = ViewPreprocessor(self.data_preprocessor,
                                                  len(self.cohort))

    def _build_lagged_peers(self, cfg: Optional[dict],
                            distiller: dict) -> Optional[LaggedPeers]:
        if cfg is None:
            return None
        if not self.distiller.collective_losses:
            raise ValueError('`lagged_peers` are for collective losses, but '
                             '`distiller.collective_losses` has none.')
        return LaggedPeers(
            self.cohort, logits=distiller.get('student_logits'), **cfg)

    @property
    def cohort(self) -> StudentCohort:
        """:obj:`StudentCohort`: Alias of ``architecture``."""
        return self.architecture

    @property
    def teacher_names(self) -> List[str]:
        """List[str]: ``teacher``, or ``teacher0``, ``teacher1``, ... of
        several."""
        if len(self.teachers) == 1:
            return ['teacher']
        return [f'teacher{i}' for i in range(len(self.teachers))]

    def loss(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None
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
        """
        shared = self.views == 'shared'
        if not self._checked and shared:
            self.cohort.check_distinct()
        if shared:
            inputs, data_samples = repeat(inputs), repeat(data_samples)

        distiller, distilling = self.distiller, not self.distillation_stopped
        losses: Dict[str, torch.Tensor] = {}
        preds_S, preds_T, preds_P = [], [], []
        lagging = self.lagged_peers if distilling else None
        if lagging is not None:
            lagging.follow(self.cohort)
        for (name, student), view, samples in zip(self.cohort.items(), inputs,
                                                  data_samples):
            if not (shared and preds_S) and (self.teacher_trainable or
                                             distilling
                                             and distiller.needs_teacher):
                with distiller.recording_teacher():
                    for teacher_name, teacher in zip(self.teacher_names,
                                                     self.teachers):
                        losses.update(
                            add_prefix(
                                teacher(view, samples), teacher_name))
                preds_T.append(distiller.pop_teacher_logits())
            with distiller.recording_student(name), \
                    (nullcontext() if self.student_trainable else
                     torch.no_grad()):
                task_losses = student(view, samples, mode='loss')
            preds_S.append(distiller.pop_student_logits(name))
            if lagging is not None:
                preds_P.append(lagging(name, view))
            if self.calculate_student_loss:
                losses.update(add_prefix(task_losses, f'student.{name}'))
            if distilling:
                losses.update(
                    add_prefix(
                        distiller.compute_distill_losses(name),
                        f'distill.{name}'))
        if distilling and distiller.collective_losses:
            labels = gather_labels(samples, preds_S[0].shape[1])
            if not self._checked and labels is not None:
                # On the CPU, where values are looked at: once.
                for loss in distiller.collective_losses.values():
                    loss.check_labels(labels.cpu(), preds_S[0])
            losses.update(
                add_prefix(
                    distiller.compute_collective_losses(
                        preds_S, preds_T, labels, preds_P), 'collective'))
        self._checked = True
        return losses

    def _predict(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None
    ) -> List[BaseDataElement]:
        """Predict with the first student."""
        first = next(iter(self.cohort.students.values()))
        return first(inputs, data_samples, mode='predict')

    def predict_members(
            self,
            inputs: torch.Tensor,
            data_samples: List[BaseDataElement],
            teacher: bool = True) -> Dict[str, List[BaseDataElement]]:
        """Predict with every member, each once.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample]): B data samples; they are left as
                they are.
            teacher (bool): Whether the teachers, if there are any, predict
                too. Defaults to True.

        Returns:
            Dict[str, List[DataSample]]: The predictions of each student, of
            the ``ensemble`` (the mean of the students' probabilities, where
            there are two or more) and of the teachers.
        """
        members = {
            name: student(inputs, [s.new() for s in data_samples],
                          mode='predict')
            for name, student in self.cohort.items()
        }
        if len(members) > 1:
            first = next(iter(self.cohort.students.values()))
            members['ensemble'] = ensemble_predictions(
                list(members.values()), getattr(first, 'head', None))
        if teacher:
            for name, holder in zip(self.teacher_names, self.teachers):
                members[name] = holder.predict(
                    inputs, [s.new() for s in data_samples])
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
                'them.')


def _build_teachers(teacher: Union[dict, BaseModel, List, None],
                    checkpoint: Optional[str], build: Callable) -> List:
    if isinstance(teacher, (list, tuple)):
        if checkpoint:
            raise ValueError(
                '`teacher_ckpt` is for one teacher, and `teacher` lists '
                f'{len(teacher)}: give each its weights by `pretrained`.')
        return [build(cfg) for cfg in teacher]
    if teacher is None:
        if checkpoint:
            raise ValueError(f'`teacher_ckpt`={checkpoint!r} is given, but '
                             'there is no `teacher` to load it into.')
        return []
    return [build(teacher, checkpoint)]


def _build_cohort(architecture: Optional[dict], num_students: Optional[int],
                  students: Optional[Dict[str, dict]],
                  data_preprocessor: Optional[dict]) -> StudentCohort:
    if (architecture is None) == (students is None):
        raise ValueError(
            'Give either `architecture` with `num_students`, for a cohort of '
            'equal networks, or `students=dict(name=network, ...)`, for a '
            'mixed one; ' + ('neither is' if students is None else 'both are')
            + ' given.')
    if students is not None:
        if num_students is not None and num_students != len(students):
            raise ValueError(f'`num_students`={num_students}, but `students` '
                             f'names {len(students)}: {list(students)}.')
        return StudentCohort(students, data_preprocessor)
    num_students = 1 if num_students is None else num_students
    if not isinstance(num_students, int) or num_students < 1:
        raise ValueError('`num_students` should be a whole number from 1 on, '
                         f'but got {num_students!r}.')
    return StudentCohort(
        {f'student{i}': architecture
         for i in range(num_students)},
        data_preprocessor,
        key='architecture')


def gather_labels(data_samples: Optional[List[BaseDataElement]],
                  num_classes: int) -> Optional[torch.Tensor]:
    """The labels of a batch, as MMPretrain's heads take them.

    Args:
        data_samples (List[DataSample], optional): B data samples.
        num_classes (int): C.

    Returns:
        Tensor, optional: Soft labels (B, C) where the samples have
        ``gt_score``; (B,) where each has one ``gt_label``; (B, C) with a 1
        for each where one has none or several; None without labels.
    """
    if not data_samples:
        return None
    if 'gt_score' in data_samples[0]:
        return torch.stack([sample.gt_score for sample in data_samples])
    if 'gt_label' in data_samples[0]:
        labels = [sample.gt_label for sample in data_samples]
        if any(label.numel() != 1 for label in labels):
            return torch.stack(
                [label_to_onehot(label, num_classes) for label in labels])
        return torch.cat(labels)
    return None
