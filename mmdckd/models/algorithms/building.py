# Copyright (c) mmdckd contributors. All rights reserved.
"""Build the parts of a :class:`.CollectiveDistill` from its config."""

from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from mmengine.dist import get_world_size
from mmengine.model import BaseModel
from torch import nn

from mmdckd.errors import invalid
from mmdckd.names import student_names
from mmdckd.registry import MODELS
from mmdckd.values import is_whole

from ..cohorts.finished_peers import FinishedPeers
from ..cohorts.fold_plan import FoldPlan
from ..cohorts.lagged_peers import LaggedPeers
from ..cohorts.student_cohort import StudentCohort
from ..distillers import CollectiveDistiller
from ..losses.base_collective_loss import LOGITS
from ..options import check_bool, check_choice
from ..tasks import train_classifiers
from ..tasks.labels import drop_partial_labels, remove_empty_labels
from ..teachers import FrozenTeacher, TrainableTeacher
from .cuda_graphs import CUDAGraphs
from .recomputation import Recomputation
from .send_ahead import send_ahead
from .view_preprocessor import ViewPreprocessor

VIEWS = ('shared', 'independent')
MEMORY = ('checkpoint',)
PARALLEL = ('data', 'cohort')
#: Upper bound that catches typos before they exhaust memory.
MOST_STUDENTS = 1024

Teacher = Union[FrozenTeacher, TrainableTeacher]
#: An ``nn.ModuleList`` if the teachers are trained.
Teachers = Union[List[FrozenTeacher], nn.ModuleList]


def set_learning(
    cohort: StudentCohort,
    distiller: CollectiveDistiller,
    trainable: bool,
    calculate_loss: bool,
) -> None:
    """Set whether the students train, and what second classifiers learn from.

    Raises:
        ValueError: If the students have a loss but do not train.
    """
    check_bool('student_trainable', trainable)
    check_bool('calculate_student_loss', calculate_loss)
    apart = calculate_loss and distiller.trains_logits
    for student in cohort.students.values():
        train_classifiers(student, apart=apart)
    if trainable:
        return
    if calculate_loss:
        raise ValueError(
            'Invalid `calculate_student_loss`: expected False with '
            '`student_trainable=False`, as frozen students cannot learn from their '
            'loss, got True. With False, only connectors are trained.'
        )
    # DDP would wait for gradients that never arrive.
    cohort.requires_grad_(False)


def check_first_step(model: Any) -> None:
    """Check before the first step that students are not sharded and differ."""
    if getattr(model, '_is_fsdp_managed_module', False):
        raise RuntimeError(
            'Invalid `strategy` or `model_wrapper_cfg`: expected '
            'MMDistributedDataParallel, the default, as collective losses, '
            'validation and export need unsharded students, got FSDPStrategy or '
            'MMFullyShardedDataParallel.'
        )
    # Students with other folds, losses or connectors learn different things.
    fold_of = model.folds.fold_of if isinstance(model.folds, FoldPlan) else {}
    lessons = {
        name: (fold_of.get(name), model.distiller.lesson(name))
        for name in model.cohort.names
    }
    if model.exchange is not None:
        model.exchange.check_distinct(lessons)
    elif model.parallel == 'cohort' and get_world_size() > 1:
        raise ValueError(
            "Invalid `model.parallel`: expected 'data' in a runner that puts every "
            "student in every process, got 'cohort'. Build the runner with `mmdckd "
            'train` or mmdckd.engine.runner.building.build_runner.'
        )
    elif model.views == 'shared':
        model.cohort.check_distinct(lessons)


def build_cohort(
    architecture: Optional[dict],
    num_students: Optional[int],
    students: Optional[Dict[str, dict]],
    data_preprocessor: Optional[dict],
) -> StudentCohort:
    """Build a cohort from ``architecture`` and ``num_students``, or from
    ``students``."""
    if (architecture is None) == (students is None):
        raise ValueError(
            'Invalid `architecture` and `students`: expected either '
            '`architecture` and `num_students`, for a cohort of equal networks, '
            'or `students=dict(name=network, ...)`, for a mixed cohort, got '
            + ('neither.' if students is None else 'both.')
        )
    if students is not None:
        if num_students is not None and num_students != len(students):
            expected = f'None or {len(students)}, the length of `students`'
            raise invalid('num_students', expected, num_students)
        return StudentCohort(students, data_preprocessor)
    num_students = 1 if num_students is None else num_students
    if not is_whole(num_students, least=1) or num_students > MOST_STUDENTS:
        expected = f'a whole number from 1 to {MOST_STUDENTS}'
        raise invalid('num_students', expected, num_students)
    assert architecture is not None
    return StudentCohort(
        dict.fromkeys(student_names(num_students), architecture),
        data_preprocessor,
        key='architecture',
    )


def teacher_builder(
    teacher: Any, trainable: bool, norm_eval: bool, allow_random: bool
) -> Callable[..., Teacher]:
    """Return the function that builds a trainable or a frozen teacher.

    Raises:
        ValueError: If there is no teacher to be trained.
    """
    check_bool('teacher_trainable', trainable)
    check_bool('teacher_norm_eval', norm_eval)
    check_bool('allow_random_teacher', allow_random)
    if trainable and (teacher is None or teacher in ([], ())):
        raise invalid('teacher_trainable', 'False without `teacher`', trainable)
    if trainable:
        return partial(TrainableTeacher, norm_eval=norm_eval)
    return partial(FrozenTeacher, allow_random=allow_random)


def build_teachers(
    teacher: Union[dict, BaseModel, List, None],
    checkpoint: Optional[str],
    build: Callable[..., Teacher],
    cohort: StudentCohort,
) -> Teachers:
    """Build the teachers, and check that they fit the cohort."""
    if isinstance(teacher, (list, tuple)):
        if checkpoint:
            raise ValueError(
                f'Invalid `teacher_ckpt`: expected None with {len(teacher)} '
                f'teachers, got {checkpoint!r}. Give each teacher its weights as '
                '`pretrained`.'
            )
        teachers = [build(cfg) for cfg in teacher]
    elif teacher is not None:
        teachers = [build(teacher, checkpoint)]
    elif checkpoint:
        raise invalid('teacher_ckpt', 'None without `teacher`', checkpoint)
    else:
        teachers = []
    for each in teachers:
        _fit(each, cohort)
    trained = any(isinstance(each, nn.Module) for each in teachers)
    return nn.ModuleList(teachers) if trained else teachers


def _fit(teacher: Teacher, cohort: StudentCohort) -> None:
    """Adapt a teacher to the students' preprocessing, and check its classes."""
    teacher.adapt.see_through(cohort.data_preprocessor)
    theirs, ours = teacher.num_classes, cohort.num_classes
    if theirs and ours and theirs != ours:
        raise ValueError(
            f'Invalid `teacher`: expected a network of {ours} classes, as the '
            f'students have, got {theirs} classes. Set `head.num_classes` to the '
            'same number everywhere, and give a teacher that was trained on these '
            'classes.'
        )


def members_by_key(
    cohort: StudentCohort, teachers: Teachers, key: str
) -> Dict[str, BaseModel]:
    """Map config keys to networks; students of one architecture share a key.

    Args:
        cohort (StudentCohort): The students.
        teachers (List): The teachers.
        key (str): The config key of the students, ``'students'`` or
            ``'architecture'``.
    """
    networks = {
        key if key == 'architecture' else f'{key}.{name}': student
        for name, student in cohort.items()
    }
    several = len(teachers) > 1
    for i, holder in enumerate(teachers):
        networks[f'teacher[{i}]' if several else 'teacher'] = holder.model
    return networks


def build_preprocessor(
    each: nn.Module, views: str, num_students: int, teacher_trainable: bool
) -> nn.Module:
    """Build the data preprocessor of a cohort.

    Args:
        each (nn.Module): The data preprocessor of one view.
        views (str): ``'shared'`` or ``'independent'``.
        num_students (int): The number of students.
        teacher_trainable (bool): Whether the teacher is trained.

    Raises:
        ValueError: If ``views`` is unknown, or independent views meet batch
            augments or a trainable teacher.
    """
    check_choice('views', views, VIEWS)
    each.register_forward_pre_hook(drop_partial_labels, with_kwargs=True)
    each.register_forward_hook(remove_empty_labels, with_kwargs=True)
    if views == 'independent':
        if getattr(each, 'batch_augments', None):
            raise ValueError(
                "Invalid `views`: expected 'shared' with `train_cfg.augments` "
                '(mixup, CutMix), which would mix the images of each student '
                "differently, got 'independent'."
            )
        if teacher_trainable:
            raise ValueError(
                "Invalid `views`: expected 'shared' with `teacher_trainable=True`, as "
                'the teacher would train on every view of an image at once, got '
                "'independent'."
            )
        each = ViewPreprocessor(each, num_students)
    each.register_forward_pre_hook(send_ahead)
    return each


def build_distiller(cfg: dict, cohort: StudentCohort, task: str) -> CollectiveDistiller:
    """Build the distiller; types without a scope are mmdckd's or MMRazor's."""
    return MODELS.build(
        {'_scope_': 'mmdckd', **cfg, 'student_names': cohort.names, 'task': task}
    )


def build_lagged_peers(
    cfg: Optional[dict], cohort: StudentCohort, distiller: CollectiveDistiller
) -> Optional[LaggedPeers]:
    """Build the lagged copies of the students, if the config asks for them.

    Raises:
        ValueError: If the config is not a dict of known options, or no loss
            learns from them.
    """
    if cfg is None:
        return None
    known = ('momentum', 'interval')
    if not isinstance(cfg, dict) or not set(cfg) <= set(known):
        raise invalid('lagged_peers', f'a dict with keys of {known}', cfg)
    if not any(
        set(sources) & set(cohort.names)
        for loss in distiller.collective_losses.values()
        for index in range(len(cohort))
        for sources in loss.sources(index, cohort.names, []).values()
    ):
        expected = (
            'None without a loss in `distiller.collective_losses` that uses peers'
        )
        raise invalid('lagged_peers', expected, cfg)
    return LaggedPeers(cohort, distiller.record_student, **cfg)


def build_finished_peers(
    cfg: Union[str, dict, Sequence[dict], None],
    cohort: StudentCohort,
    distiller: CollectiveDistiller,
    lagged_peers: Optional[LaggedPeers],
    allow_random: bool,
) -> Optional[FinishedPeers]:
    """Build the finished peers, if the config names any.

    Raises:
        ValueError: If no loss learns from them, their classes are not the
            students', or there are lagged peers too.
    """
    if cfg is None:
        return None
    if lagged_peers is not None:
        raise invalid('finished_peers', 'None with `lagged_peers`', cfg)
    peers = FinishedPeers(
        cfg, partial(distiller.record_student, inputs=[LOGITS]), allow_random
    )
    distiller.use_finished_peers(len(peers))
    for name, peer in peers.networks.items():
        peer.adapt.see_through(cohort.data_preprocessor)
        theirs, ours = peer.num_classes, cohort.num_classes
        if theirs and ours and theirs != ours:
            raise ValueError(
                f'Invalid `model.finished_peers`: expected networks of {ours} '
                f'classes, as the students have, got {theirs} classes of {name}.'
            )
    return peers


def build_recomputation(
    memory: Optional[str], cohort: StudentCohort, distiller: CollectiveDistiller
) -> Optional[Recomputation]:
    """Build the activation checkpointing of the students, if asked for."""
    if memory is None:
        return None
    check_choice('memory', memory, MEMORY)
    distiller.check_recomputable()
    return Recomputation(cohort.students)


def build_graphs(
    cuda_graphs: Optional[bool],
    cohort: StudentCohort,
    teachers: Teachers,
    distiller: CollectiveDistiller,
    teacher_trainable: bool,
    memory: Optional[str],
) -> Optional[CUDAGraphs]:
    """Build the CUDA graphs of all backbones, unless the model rules them out.

    Raises:
        ValueError: If the config asks for them and the model rules them out.
    """
    obstacles = {
        "`memory='checkpoint'`, which runs the students twice": memory is not None,
        '`distiller` recording more than logits, inside the graphs': (
            not distiller.records_logits_alone
        ),
        '`teacher_trainable=True`': teacher_trainable,
        'several processes': get_world_size() > 1,
    }
    found = [what for what, is_there in obstacles.items() if is_there]
    if cuda_graphs and found:
        raise ValueError(
            f'Invalid `cuda_graphs`: expected None or False with {found[0]}, got True.'
        )
    return None if found or cuda_graphs is False else CUDAGraphs(cohort, teachers)
