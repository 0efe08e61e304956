# Copyright (c) mmdckd contributors. All rights reserved.
"""Train MMRazor's losses inside a cohort on real images, and check them."""

from typing import Dict, List, Optional

import torch
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from torch import nn

from mmdckd.datasets import Digits
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.names import DISTILL, is_loss, name_losses, student_names

from .catalog import Case

STUDENTS = student_names(2)


def network(width: int) -> dict:
    """Return a CIFAR ResNet-18 of MMPretrain with ``width`` base channels."""
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR', depth=18, stem_channels=width, base_channels=width
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=8 * width,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )


def digits(count: int) -> dict:
    """Load a batch of handwritten digits with their indices."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = Digits(
            'train', indices=count, pipeline=[dict(type='mmdckd.PackCRDInputs')]
        )
    return default_collate([dataset[i] for i in range(count)])


def build(case: Case, with_dckd: bool = False, **kwargs) -> CollectiveDistill:
    """Build a cohort of two with a loss of MMRazor, initialized from a seed.

    Args:
        case (Case): The loss.
        with_dckd (bool): Whether to add the task loss and DCKD. Defaults to
            False.
    """
    torch.manual_seed(0)
    distiller = dict(type='CollectiveDistiller', **case.parts())
    if with_dckd:
        distiller['collective_losses'] = dict(loss_dckd=dict(type='mmdckd.DCKDLoss'))
    cfg = dict(
        architecture=network(4),
        num_students=len(STUDENTS),
        teacher=network(8),
        allow_random_teacher=True,
        student_trainable=case.trains_student,
        calculate_student_loss=with_dckd,
        data_preprocessor=dict(
            type='mmpretrain.ClsDataPreprocessor',
            num_classes=10,
            mean=[80.0] * 3,
            std=[90.0] * 3,
        ),
        distiller=distiller,
    )
    cfg.update(kwargs)
    model = CollectiveDistill(**cfg)
    model.init_weights()
    return model.train()


def fault_of(
    case: Case, with_dckd: bool = False, steps: Optional[int] = None
) -> Optional[str]:
    """Train a cohort of two with a loss, for a few steps on one batch.

    Args:
        case (Case): The loss.
        with_dckd (bool): Whether to add the task loss and DCKD. Defaults to
            False.
        steps (int, optional): The number of steps in which the loss has to
            fall. Defaults to None: the number of the case.

    Returns:
        str, optional: The fault; None if every loss is finite and falls, and the
        loss of a student has gradients only in this student.
    """
    try:
        return _fault_of(build(case, with_dckd), case, with_dckd, steps or case.steps)
    except FloatingPointError as error:
        return str(error)


def _fault_of(
    model: CollectiveDistill, case: Case, with_dckd: bool, steps: int
) -> Optional[str]:
    batch = digits(16)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-3)
    history: List[Dict[str, torch.Tensor]] = []
    for _ in range(steps):
        torch.manual_seed(1)  # random numbers of a loss are the same in every step
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
        losses = {n: value for n, value in losses.items() if is_loss(n)}
        if not history:
            fault = _gradients(model, losses, case.trains_student)
            if fault:
                return fault
        total = sum(value.mean() for value in losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append({n: value.detach().mean() for n, value in losses.items()})
    for name in ('sum',) if with_dckd else history[0]:
        values = [
            sum(losses.values()) if name == 'sum' else losses[name]
            for losses in history
        ]
        if not values[-1] < values[0]:
            return f'{name} does not fall: {values[0]:.4g}, {values[-1]:.4g}'
    return None


def _gradients(
    model: CollectiveDistill, losses: Dict[str, torch.Tensor], trains_student: bool
) -> Optional[str]:
    """Check which parameters the loss of each student has gradients in."""
    students = model.cohort.students
    distillers = model.distiller.student_distillers
    for name, other in zip(STUDENTS, reversed(STUDENTS)):
        (key,) = name_losses(DISTILL, name, dict(loss_razor=None))
        loss = losses[key].mean()
        learner = students[name] if trains_student else distillers[name]
        if not _reaches(loss, learner):
            return f'the loss of {name} does not reach it'
        if _reaches(loss, students[other], distillers[other]):
            return f'the loss of {name} reaches {other}'
    return None


def _reaches(loss: torch.Tensor, *modules: nn.Module) -> bool:
    """Tell whether a loss has a gradient in any of these modules."""
    learning = [p for module in modules for p in module.parameters() if p.requires_grad]
    gradients = (
        torch.autograd.grad(loss, learning, retain_graph=True, allow_unused=True)
        if learning
        else ()
    )
    return any(g is not None and bool(g.any()) for g in gradients)
