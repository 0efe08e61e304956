# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import pytest
import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import nn
from torchvision.models.densenet import _DenseLayer
from torchvision.ops import StochasticDepth

from helpers.networks import PREPROCESSOR, network
from mmdckd.models.cohorts import StudentCohort


def test_forward_gives_every_students_output(batch):
    cohort = StudentCohort(dict(main=network(), peer=network(34)), PREPROCESSOR).eval()
    inputs = cohort.data_preprocessor(batch)['inputs']
    outputs = cohort(inputs)
    assert list(outputs) == cohort.names == ['main', 'peer']
    assert len(cohort) == 2
    for name, student in cohort.items():
        assert torch.equal(outputs[name], student(inputs))


def test_configs_rebuild_the_students_without_the_cohort():
    students = dict(
        main=dict(
            cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
            head=dict(num_classes=7),
        )
    )
    cohort = StudentCohort(students)
    cfg = cohort.configs['main']
    assert cfg['head']['num_classes'] == 7
    assert cfg['backbone']['type'] == 'ResNet_CIFAR'
    assert 'data_preprocessor' not in cfg
    assert cohort.data_preprocessor_cfg['mean'] == [125.307, 122.961, 113.8575]
    rebuilt = StudentCohort(dict(main=cfg))
    rebuilt.students.load_state_dict(cohort.students.state_dict())


def test_students_that_are_preprocessed_differently_are_refused():
    students = dict(
        a=network(data_preprocessor=PREPROCESSOR),
        b=network(data_preprocessor=dict(PREPROCESSOR, mean=[1.0, 2.0, 3.0])),
    )
    with pytest.raises(ValueError, match="'b' and 'a'.*data_preprocessor"):
        StudentCohort(students)
    cohort = StudentCohort(students, PREPROCESSOR)
    assert cohort.data_preprocessor.mean[0] == 80


def test_seeds_of_students_differ_between_runs():
    """Student 1 of one run is not student 0 of the next."""
    firsts = []
    for seed in range(3):
        torch.manual_seed(seed)
        cohort = StudentCohort(dict(a=network(), b=network(), c=network()))
        cohort.init_weights()
        firsts += [s.backbone.conv1.weight for s in cohort.students.values()]
    for i, a in enumerate(firsts):
        assert not any(torch.equal(a, b) for b in firsts[:i])


def test_students_hang_on_their_names_and_not_on_their_places():
    """MMEngine sorts the keys of the configs that it saves: a run of such a
    config began with other students."""
    names = ['b', 'student10', 'student2', 'a']
    cohorts = []
    for order in (names, sorted(names)):
        torch.manual_seed(0)
        cohorts.append(StudentCohort({name: network() for name in order}))
        cohorts[-1].init_weights()
    assert cohorts[0].names == cohorts[1].names == ['a', 'b', 'student2', 'student10']
    torch.testing.assert_close(
        cohorts[0].state_dict(), cohorts[1].state_dict(), rtol=0, atol=0
    )


def test_initializing_peers_leaves_the_runs_random_stream_alone():
    torch.manual_seed(0)
    cohort = StudentCohort(dict(a=network()))
    cohort.init_weights()
    alone = torch.rand(3)
    torch.manual_seed(0)
    cohort = StudentCohort(dict(a=network(), b=network()))
    cohort.init_weights()
    assert torch.equal(torch.rand(3), alone)


@pytest.mark.parametrize(
    'other',
    [
        dict(augments=[dict(type='Mixup', alpha=0.8)]),
        dict(augments=[dict(type='Mixup', alpha=0.2)], probs=[0.5]),
        dict(augments=[dict(type='CutMix', alpha=0.2)]),
        None,
    ],
)
def test_images_are_mixed_once_for_all_students(other):
    mixup = dict(augments=[dict(type='Mixup', alpha=0.2)])
    StudentCohort(dict(a=network(train_cfg=mixup), b=network(34, train_cfg=mixup)))
    with pytest.raises(ValueError, match="'b' and 'a'.*data_preprocessor"):
        StudentCohort(dict(a=network(train_cfg=mixup), b=network(train_cfg=other)))


@pytest.mark.parametrize(
    'layer',
    [
        nn.Dropout,
        lambda rate: StochasticDepth(rate, 'row'),
        # These drop values by a function of torch.
        lambda rate: nn.MultiheadAttention(16, 2, dropout=rate),
        lambda rate: MultiheadAttention(16, 2, attn_drop=rate),
        lambda rate: _DenseLayer(4, 4, 2, rate),
    ],
    ids=['dropout', 'stochastic_depth', 'attention', 'vit', 'densenet'],
)
def test_equal_students_with_a_random_layer_differ(layer):
    for rate in (0.0, 0.3):
        cohort = StudentCohort(dict(a=network(), b=network()))
        cohort.init_weights()
        cohort.students['a'].extra = layer(rate)
        cohort.students['b'] = copy.deepcopy(cohort.students['a'])
        if rate:
            cohort.check_distinct()
        else:
            with pytest.raises(ValueError, match="'a' and 'b' with bitwise equal"):
                cohort.check_distinct()
