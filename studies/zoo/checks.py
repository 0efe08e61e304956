# Copyright (c) mmdckd contributors. All rights reserved.
"""Check a network of the model zoo alone, as a student and as a teacher."""

import copy
import math
from typing import Dict, List, Optional

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import _load_checkpoint_to_model, get_state_dict
from mmpretrain.models import MultiLabelClsHead
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample

import mmdckd  # noqa: F401
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.tasks.token_heads import token_source
from mmdckd.names import (
    COLLECTIVE,
    ENSEMBLE,
    STUDENT,
    TEACHER,
    name_losses,
    parameter_prefix,
    student_names,
)
from mmdckd.registry import MODELS

from .entries import one_line
from .photos import photo_batch

STUDENTS = student_names(2)
_TERMS = [f'loss_dckd.{term}' for term in DCKDLoss.TERMS]


def check_control(cfg: Config) -> Dict[str, Optional[str]]:
    """Let MMPretrain alone train and predict.

    Args:
        cfg (Config): The config of a network.

    Returns:
        dict: ``trains`` and ``predicts``: None if it does, otherwise the reason.
        A network that trains predicts after the step.
    """
    result: Dict[str, Optional[str]] = dict(trains=None, predicts=None)
    for what, act in dict(trains=_train_alone, predicts=_predict_alone).items():
        try:
            act(cfg)
        except Exception as error:
            result[what] = one_line(error)
    return result


def _train_alone(cfg: Config) -> None:
    network = _plain(_network(cfg))
    network.init_weights()
    _train_step(network, [network], photo_batch(cfg, 'train'))


def _predict_alone(cfg: Config) -> None:
    network = _plain(_network(cfg))
    network.init_weights()
    _scores(network.eval().val_step(photo_batch(cfg, 'test')))


def check_student(cfg: Config) -> None:
    """Train and validate a cohort of two of this network.

    Args:
        cfg (Config): The config of a network.

    Raises:
        Exception: Whatever goes wrong in the cohort.
        AssertionError: If a student differs in the cohort from the network alone.
    """
    network = _network(cfg)
    model = _cohort(cfg, teacher=_partner(cfg), architecture=network)
    _check_step(model, cfg)
    batch = photo_batch(cfg, 'test')
    state_dict = copy.deepcopy(get_state_dict(model))
    members = _check_members(model, batch)
    for name, student in model.cohort.items():
        alone = _plain(
            dict(
                model.cohort.configs[name],
                data_preprocessor=network['data_preprocessor'],
            )
        )
        prefix = parameter_prefix(name)
        _load(
            alone,
            {
                key[len(prefix) :]: value
                for key, value in state_dict.items()
                if key.startswith(prefix)
            },
            student,
        )
        expected = _scores(alone.eval().val_step(copy.deepcopy(batch)))
        assert torch.equal(members[name], expected), (
            f'{name} scores otherwise alone, by up to '
            f'{(members[name] - expected).abs().max():g}'
        )
        _check_logits(model, name, student, batch, expected)
    other = _cohort(cfg, teacher=_partner(cfg), architecture=network)
    for parameter in other.parameters():
        parameter.data.fill_(math.nan)
    _load_checkpoint_to_model(other, state_dict)
    for key, value in get_state_dict(other).items():
        assert torch.equal(value, state_dict[key]), (
            f'{key} differs after saving and loading'
        )


def check_teacher(cfg: Config) -> None:
    """Train and validate two small students with this network as teacher.

    Args:
        cfg (Config): The config of a network.

    Raises:
        Exception: Whatever goes wrong in the cohort.
        AssertionError: If the teacher changes, or differs from the network alone.
    """
    network = _network(cfg)
    model = _cohort(cfg, teacher=network, architecture=_partner(cfg))
    teacher = model.teachers[0].model
    before = copy.deepcopy(teacher.state_dict())
    _check_step(model, cfg)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, before[key]), f'the step changed {key}'
    batch = photo_batch(cfg, 'test')
    members = _check_members(model, batch)
    alone = _plain(network)
    _load(alone, before, teacher)
    expected = _scores(alone.eval().val_step(copy.deepcopy(batch)))
    # Not bitwise: without gradients, some layers compute differently.
    assert torch.allclose(members[TEACHER], expected, rtol=1e-4, atol=1e-7), (
        'the teacher scores otherwise alone, by up to '
        f'{(members[TEACHER] - expected).abs().max():g}'
    )


CHECKS = dict(control=check_control, student=check_student, teacher=check_teacher)


def _network(cfg: Config) -> dict:
    """Return the model of a config as its runner would build it."""
    model = cfg.model.to_dict()
    model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    return model


def _plain(network: dict) -> BaseModel:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MMPRETRAIN_MODELS.build(copy.deepcopy(network))


def _partner(cfg: Config) -> dict:
    """Return a narrow ResNet-18 with the same inputs and outputs as a network."""
    head, backbone = cfg.model.get('head', {}), cfg.model.get('backbone', {})
    preprocessor = cfg.get('data_preprocessor') or cfg.model.data_preprocessor
    num_classes = (
        head.get('num_classes')
        or backbone.get('num_classes')
        or preprocessor['num_classes']
    )
    multi_label = head and issubclass(
        MMPRETRAIN_MODELS.get(head['type']), MultiLabelClsHead
    )
    return dict(
        type='ImageClassifier',
        data_preprocessor=_network(cfg)['data_preprocessor'],
        backbone=dict(
            type='ResNet',
            depth=18,
            in_channels=len(preprocessor.get('mean', (0, 0, 0))),
            stem_channels=8,
            base_channels=8,
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='MultiLabelLinearClsHead' if multi_label else 'LinearClsHead',
            num_classes=num_classes,
            in_channels=64,
        ),
    )


def _load(network: BaseModel, state_dict: dict, source: BaseModel) -> None:
    assert state_dict.keys() == network.state_dict().keys(), (
        'other keys are saved than alone: '
        f'{sorted(state_dict.keys() ^ network.state_dict().keys())}'
    )
    saved = {value.data_ptr() for value in source.state_dict().values()}
    for mine, theirs in zip(network.parameters(), source.parameters()):
        # A network with LoRA does not save its initial weights.
        is_saved = theirs.data_ptr() in saved
        mine.data.copy_(mine.new_tensor(math.nan) if is_saved else theirs)
    network.load_state_dict(state_dict, strict=False)


def _cohort(cfg: Config, **members) -> CollectiveDistill:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='mmdckd.CollectiveDistill',
                allow_random_teacher=True,
                num_students=len(STUDENTS),
                distiller=dict(
                    type='mmdckd.CollectiveDistiller',
                    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
                ),
                **copy.deepcopy(members),
            )
        )


def _train_step(
    model: BaseModel, learners: List[BaseModel], batch: dict
) -> Dict[str, torch.Tensor]:
    before = [
        [p.detach().clone() for p in learner.parameters()] for learner in learners
    ]
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3
    )
    logged = model.train().train_step(batch, OptimWrapper(optimizer))
    for name, value in logged.items():
        assert torch.isfinite(value).all(), f'{name} is {value}'
    for learner, old in zip(learners, before):
        assert not all(map(torch.equal, old, learner.parameters())), (
            'nothing was learned'
        )
    return logged


def _check_step(model: CollectiveDistill, cfg: Config) -> None:
    model.init_weights()
    logged = _train_step(
        model, list(model.cohort.students.values()), photo_batch(cfg, 'train')
    )
    for name in STUDENTS:
        for key in {
            **name_losses(STUDENT, name, dict(loss=None)),
            **name_losses(COLLECTIVE, name, dict.fromkeys(_TERMS)),
        }:
            assert key in logged, f'there is no {key}'


def _check_members(model: CollectiveDistill, batch: dict) -> Dict[str, torch.Tensor]:
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(copy.deepcopy(batch), False)
        members = model.predict_members(**data)
    expected = [*STUDENTS, ENSEMBLE, TEACHER]
    assert list(members) == expected, f'{list(members)} predict'
    return {name: _scores(samples) for name, samples in members.items()}


def _check_logits(
    model: CollectiveDistill,
    name: str,
    student: BaseModel,
    batch: dict,
    scores: torch.Tensor,
) -> None:
    """Check that the recorded logits are those of the prediction; for a network
    with a distillation classifier, those of that classifier."""
    multi_label = isinstance(getattr(student, 'head', None), MultiLabelClsHead)
    assert model.task.name == ('multi_label' if multi_label else 'classification'), (
        f'{model.task} is the task'
    )
    with torch.no_grad(), model.distiller.recording_student(name):
        data = model.data_preprocessor(copy.deepcopy(batch), False)
        student(**data, mode='predict')
        mean = student(data['inputs'])
    logits = model.distiller.pop_student(name)['logits']
    if token_source(student):
        by_class = 2 * mean - logits
        assert not torch.equal(by_class, logits), f'{name} has one classifier'
        logits = mean
    found = logits.sigmoid() if multi_label else logits.softmax(1)
    assert torch.allclose(found, scores, atol=1e-6), (
        f'the recorded logits of {name} are not those of its prediction'
    )


def _scores(samples: List[DataSample]) -> torch.Tensor:
    scores = torch.stack([sample.pred_score for sample in samples])
    assert torch.isfinite(scores).all(), 'scores are not finite'
    for sample in samples:
        assert sample.pred_label.ndim == 1, 'labels have no dimension'
    return scores
