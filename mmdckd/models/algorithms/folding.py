# Copyright (c) mmdckd contributors. All rights reserved.
"""Build what tells which student is blind to which fold, and check the rest."""

from typing import Any, Dict, Optional

from mmengine.model import BaseModel

from ..cohorts.fold_plan import KEY, FoldPlan, build_fold_plan
from ..losses.base_collective_loss import LOGITS, BaseCollectiveLoss
from ..losses.teacher_loss import TeacherLoss
from ..options import under


def build_folds(
    cfg: Optional[dict], model: BaseModel, cuda_graphs: Optional[bool]
) -> Optional[FoldPlan]:
    """Build the plan of folds, if there is one, and check that the model goes
    with it.

    Args:
        cfg (dict, optional): Arguments of :class:`.FoldPlan`.
        model (CollectiveDistill): The model, all of whose members are built.
        cuda_graphs (bool, optional): As the config says.

    Raises:
        ValueError: If a part of the model does not go with folds, or needs
            them and there are none.
    """
    losses = model.distiller.collective_losses
    cohort = model.cohort
    plan = build_fold_plan(cfg, cohort.names)
    if plan is None:
        for name, loss in losses.items():
            if loss.held_out:
                raise ValueError(
                    f'Invalid `distiller.collective_losses.{name}.collector`: expected '
                    'a collector without folds, as `model.folds` is None, got '
                    f'{loss.collector}. Set model.folds=dict(), or choose another, '
                    "such as 'logit_mean'."
                )
        return None
    _check_model(model, cuda_graphs)
    for name, loss in losses.items():
        with under(f'distiller.collective_losses.{name}'):
            _check_loss(loss, plan, len(model.teachers))
            loss.use_folds(plan.fold_of_each)
    cohort.deployed = plan.deployed
    return plan


def _check_model(model: BaseModel, cuda_graphs: Optional[bool]) -> None:
    # Each student runs on images of its own: more or fewer than the others.
    found: Dict[str, Any] = {
        'lagged_peers': model.lagged_peers is not None,
        'finished_peers': model.finished_peers is not None,
        "views='independent'": model.views != 'shared',
        'cuda_graphs=True': bool(cuda_graphs),
        'data_preprocessor.batch_augments (mixup, CutMix)': bool(
            getattr(model.data_preprocessor, 'batch_augments', None)
        ),
        "MMRazor's losses, recorders and deliveries in `distiller`": len(
            model.distiller.student_distillers
        ),
    }
    for what, is_there in found.items():
        if is_there:
            raise ValueError(
                f'Invalid `{KEY}`: expected None with {what}, got a dict. Drop one of '
                'the two.'
            )


def _check_loss(loss: BaseCollectiveLoss, plan: FoldPlan, num_teachers: int) -> None:
    if tuple(loss.inputs) != (LOGITS,) or not (
        loss.by_image or isinstance(loss, TeacherLoss)
    ):
        raise ValueError(
            f'Invalid `type`: expected a loss on logits that learns from the teacher '
            f'alone, or whose value is a mean over images, as `{KEY}` is set, got '
            f'{type(loss).__name__}.'
        )
    for fold in range(plan.num_folds) if loss.by_image else ():
        if loss.held_out:
            loss.use_finished_peers(len(plan.blind_to(fold)))
        loss.check_cohort(len(plan.seeing(fold)), num_teachers)
