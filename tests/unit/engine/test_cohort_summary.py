# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import torch
from torch import nn
from torchvision.models import squeezenet1_1

from helpers.networks import distil, network
from mmdckd.engine.cohort_summary import as_table, summarize

SHAPE = (3, 8, 8)


def with_loss(num_students=3, teacher=True, **loss):
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', **loss)),
    )
    return distil(
        num_students, distiller=distiller, teacher=network(34) if teacher else None
    )


def sources(model):
    return {m.name: m.sources for m in summarize(model, SHAPE)}


def counted(network):
    """Multiplications of convolutions and linear layers, by their formula."""
    total = []

    def count(module, inputs, output):
        fan_in = module.weight[0].numel()
        total.append(output.numel() * fan_in)

    handles = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    network = network.eval()
    with torch.no_grad():
        network(torch.zeros(1, *SHAPE), mode='tensor')
    for handle in handles:
        handle.remove()
    return sum(total)


def test_a_network_of_a_function_has_its_own_name():
    squeezenet = dict(
        type='ImageClassifier',
        backbone=dict(
            type='mmdckd.ModuleBackbone',
            module=f'{squeezenet1_1.__module__}.squeezenet1_1',
            num_classes=10,
        ),
        head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')),
    )
    model = distil(2, architecture=squeezenet, teacher=squeezenet)
    assert {m.network for m in summarize(model, (3, 32, 32))} == {'SqueezeNet'}


def test_members_are_counted():
    model = distil(2)
    teacher, *students = summarize(model, SHAPE)
    assert (teacher.name, teacher.role) == ('teacher', 'teacher')
    assert teacher.network == 'ResNet_CIFAR (34)'
    assert teacher.macs == counted(model.teachers[0].model)
    assert [m.name for m in students] == model.cohort.names
    for member, student in zip(students, model.cohort.students.values()):
        assert member.role == 'student'
        assert member.parameters == sum(p.numel() for p in student.parameters())
        assert member.macs == counted(student)


def test_default_feeds_everyone_from_teacher_and_peers():
    found = sources(with_loss())
    assert found['teacher'] == {}
    for name in ('student0', 'student1', 'student2'):
        peers = [f'student{i}' for i in range(3) if name != f'student{i}']
        assert found[name] == {
            'task': ['labels'],
            'loss_dckd.teacher': ['teacher'],
            'loss_dckd.collective': peers,
            'loss_dckd.correlation': [],
        }


def test_sets_are_those_of_the_collector():
    collector = dict(type='max', include_self=True, include_teacher=True)
    model = with_loss(alpha=0.0, gamma=0.0, collector=collector)
    assert sources(model)['student1'] == {
        'task': ['labels'],
        'loss_dckd.collective': ['student0', 'student1', 'student2', 'teacher'],
    }
    table = as_table(summarize(model, SHAPE))
    assert 'loss_dckd.collective: student0, itself, student2, teacher' in table


def test_without_teacher_nobody_names_one():
    found = sources(with_loss(teacher=False, alpha=0.0, beta=1.0, gamma=0.0))
    assert list(found) == ['student0', 'student1', 'student2']
    assert found['student0']['loss_dckd.collective'] == ['student1', 'student2']


def test_lagged_peers_are_named():
    model = distil(
        2,
        lagged_peers=dict(),
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', gamma=0.0)),
        ),
    )
    members = {m.name: m for m in summarize(model, SHAPE)}
    assert members['student0'].sources['loss_dckd.collective'] == ['lagged student1']
    # It runs once more.
    lagged = members['lagged student1']
    assert (lagged.role, lagged.sources) == ('lagged peer', {})
    assert lagged.macs == members['student1'].macs


def test_losses_of_mmrazor_name_the_teacher():
    record = dict(type='ModuleOutputs', source='head.fc')
    model = distil(
        2,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            student_recorders=dict(logits=record),
            teacher_recorders=dict(logits=record),
            distill_losses=dict(
                loss_kl=dict(type='KLDivergence', students=['student1'])
            ),
            loss_forward_mappings=dict(
                loss_kl=dict(
                    preds_S=dict(from_student=True, recorder='logits'),
                    preds_T=dict(from_student=False, recorder='logits'),
                )
            ),
        ),
    )
    found = sources(model)
    assert found['student0'] == {'task': ['labels']}
    assert found['student1'] == {'task': ['labels'], 'loss_kl': ['teacher']}


def test_nothing_changes():
    model = distil(2)
    model.train()
    model.cohort.students['student1'].backbone.layer1.eval()
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    summarize(model, SHAPE)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])


def test_table_has_a_line_for_each_loss():
    model = with_loss(2)
    lines = as_table(summarize(model, SHAPE)).splitlines()
    assert lines[0].split()[:5:2] == ['member', 'role', 'network']
    assert sum('loss_dckd.' in line for line in lines) == 6
    assert sum(line.startswith('student') for line in lines) == 2
    total = sum(p.numel() for p in model.parameters()) + sum(
        p.numel() for p in model.teachers[0].model.parameters()
    )
    assert f'{total / 1000:.2f} k' in lines[-1]
