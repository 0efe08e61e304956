# Copyright (c) mmdckd contributors. All rights reserved.
"""Build the folds of a model, and check that the model supports them."""

from typing import Any, Dict, Optional, Union

from mmengine.model import BaseModel

from mmdckd.errors import invalid

from ..cohorts.fold_plan import KEY, FoldPlan, build_fold_plan
from ..cohorts.peer_folds import PeerFolds
from ..losses.base_collective_loss import LOGITS, BaseCollectiveLoss
from ..losses.teacher_loss import TeacherLoss
from ..options import under


def build_folds(
    cfg: Optional[dict], model: BaseModel, cuda_graphs: Optional[bool]
) -> Union[FoldPlan, PeerFolds, None]:
    """Build the plan of folds, if any, and check that the model supports it.

    Args:
        cfg (dict, optional): Arguments of :class:`.FoldPlan`.
        model (CollectiveDistill): The model, with all members built.
        cuda_graphs (bool, optional): The option of the config.

    Raises:
        ValueError: If a part of the model does not support folds, or needs
            folds that are not set.
    """
    losses = model.distiller.collective_losses
    cohort = model.cohort
    if cfg is not None and model.finished_peers is not None:
        return _build_peer_folds(cfg, model)
    plan = build_fold_plan(cfg, cohort.names)
    if plan is None:
        for name, loss in losses.items():
            if loss.held_out:
                raise ValueError(
                    f'Invalid `distiller.collective_losses.{name}.collector`: expected '
                    'a collector without folds, as `model.folds` is None, got '
                    f'{loss.collector}. Set model.folds=dict(), or choose another '
                    "collector, such as 'logit_mean'."
                )
        return None
    _check_model(model, cuda_graphs)
    for name, loss in losses.items():
        with under(f'distiller.collective_losses.{name}'):
            loss.use_folds(plan.fold_of_each)
            _check_loss(loss, plan, len(model.teachers))
    cohort.deployed = plan.deployed
    return plan


def _build_peer_folds(cfg: dict, model: BaseModel) -> PeerFolds:
    """Build the folds of finished peers; the students see every image."""
    if not isinstance(cfg, dict) or not set(cfg) <= {'num_folds', 'seed'}:
        expected = "a dict of 'num_folds' and 'seed' with `finished_peers`"
        raise invalid(KEY, expected, cfg)
    cfg = {'num_folds': len(model.finished_peers), **cfg}
    if model.views != 'shared':
        raise invalid('views', f"'shared' with `{KEY}`", model.views)
    folds = PeerFolds(model.finished_peers, **cfg)
    for name, loss in model.distiller.collective_losses.items():
        if loss.held_out:
            with under(f'distiller.collective_losses.{name}'):
                loss.use_finished_peers(folds.num_blind)
                loss.check_cohort(len(model.cohort), len(model.teachers))
    return folds


def _check_model(model: BaseModel, cuda_graphs: Optional[bool]) -> None:
    # Each student runs on its own images, and their number differs.
    found: Dict[str, Any] = {
        'lagged_peers': model.lagged_peers is not None,
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
                f'Invalid `{KEY}`: expected None with {what}, got a dict. Remove one '
                'of the two.'
            )


def _check_loss(loss: BaseCollectiveLoss, plan: FoldPlan, num_teachers: int) -> None:
    if tuple(loss.inputs) != (LOGITS,) or not (
        loss.by_image or isinstance(loss, TeacherLoss)
    ):
        raise ValueError(
            f'Invalid `type`: expected with `{KEY}` a loss on logits that learns from '
            'the teacher only, or that is a mean over images, got '
            f'{type(loss).__name__}.'
        )
    for fold in range(plan.num_folds) if loss.by_image else ():
        if loss.held_out:
            loss.use_finished_peers(len(plan.blind_to(fold)))
        loss.check_cohort(len(plan.seeing(fold)), num_teachers)
