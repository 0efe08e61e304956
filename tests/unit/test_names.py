# Copyright (c) mmdckd contributors. All rights reserved.
"""The grammar of members, losses and metrics."""

import ast
import os.path as osp

import pytest
import torch
from mmengine.utils import scandir

import mmdckd
from mmdckd import names
from mmdckd.engine.visualizers.cohort_visualizer import group_name
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.cohorts import StudentCohort
from mmdckd.models.distillers import CollectiveDistiller
from mmdckd.report.curves import curves_of, students_of
from mmdckd.report.epoch_figures import split_loss

TINY = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=32),
)


@pytest.mark.parametrize(
    'given, expected',
    [
        ([], []),
        (['bus', 'car'], ['bus', 'car']),
        (['crane', 'dog', 'crane'], ['crane (0)', 'dog', 'crane (2)']),
        (['a', 'a', 'a (0)'], ['a (0) (0)', 'a (1)', 'a (0) (2)']),
    ],
)
def test_classes_of_one_name(given, expected):
    assert names.distinct_names(given) == expected


@pytest.mark.parametrize(
    'name',
    [
        'student0',
        'wide',
        '_x',
        'peer-1',
        'teacher_like',
        'targeted',
        'cohorts',
        'Lossy',
        'best_of',
        'R18',
        'teacher1b',
    ],
)
def test_names_of_students(name):
    assert names.check_name(name, 'students') == name
    assert names.role_of(name) == names.STUDENT
    losses = names.name_losses(names.STUDENT, name, dict(loss=1))
    (key,) = losses
    assert names.parse_loss(key) == ('student', name, 'loss')
    assert names.parse_loss(f'train/{key}').student == name
    assert names.member_of(f'{name}/accuracy/top1', 'accuracy/top1') == name
    parameter = f'{names.parameter_prefix(name)}head.fc.weight'
    assert names.split_parameter(parameter) == (name, 'head.fc.weight')
    assert names.owner_of_parameter(parameter) == name


@pytest.mark.parametrize(
    'name, near',
    [
        ('ce_loss', "'ce'"),
        ('lossy', "'y'"),
        ('loss', None),
        ('a.b', "'a_b'"),
        ('a/b', "'a_b'"),
        ('0', "'_0'"),
        ('', None),
        (3, "'_3'"),
        ('teacher', 'not reserved'),
        ('teacher0', 'not reserved'),
        ('teacher12', 'not reserved'),
        ('ensemble', 'not reserved'),
        ('best', 'not reserved'),
        ('target', 'not reserved'),
        ('cohort', 'not reserved'),
        ('model', 'not reserved'),
        ('all', 'not reserved'),
        ('val', 'not reserved'),
        ('teachers', 'not reserved'),
        ('distiller', 'not reserved'),
        ('labels', 'not reserved'),
        ('keys', 'not reserved'),
        ('half', 'not reserved'),
        ('_modules', 'not reserved'),
    ],
)
def test_names_that_are_refused(name, near):
    with pytest.raises(ValueError, match='Invalid `students`') as error:
        StudentCohort({name: TINY})
    assert repr(name) in str(error.value)
    assert near is None or near in str(error.value)


def test_every_role_has_one_member_name():
    members = [
        'teacher',
        'teacher0',
        'teacher1',
        'ensemble',
        'best',
        'target',
        'target.loss_a',
        'cohort',
        'all',
        'model',
        'teacher_like',
        'targets',
    ]
    assert names.of_role(members, names.TEACHER) == members[:3]
    assert names.of_role(members, names.TARGET) == members[5:7]
    assert names.of_role(members, names.STUDENT) == members[9:]
    assert names.teacher_names(1) == ['teacher']
    assert names.teacher_names(2) == ['teacher0', 'teacher1']
    assert names.target_names(['loss_a']) == ['target']
    assert names.target_names(['loss_a', 'loss_b']) == [
        'target.loss_a',
        'target.loss_b',
    ]


def test_names_of_losses():
    parse = names.parse_loss
    assert parse('collective.s0.loss_dckd.teacher') == (
        'collective',
        's0',
        'loss_dckd.teacher',
    )
    assert parse('collective.agreement') == ('collective', None, 'agreement')
    assert parse('teacher1.loss') == ('teacher', 'teacher1', 'loss')
    assert parse('teacher1.loss').student is None
    assert names.name_losses('teacher', 'teacher1', dict(loss=1)) == {
        'teacher1.loss': 1
    }
    for key in ('loss', 'lr', 'time', 'amp/scale', 'grad_norm.s0', 'teacher_like.loss'):
        assert parse(key) is None, key


def test_metrics_whose_names_end_alike():
    """Of two metrics where one name ends with the other."""
    record = {'s0/top1': 1.0, 's0/accuracy/top1': 2.0, 'step': 3}
    assert curves_of([record], 'top1') == dict(s0={3: 1.0})
    assert curves_of([record], 'accuracy/top1') == dict(s0={3: 2.0})
    alone = {'accuracy/top1': 2.0, 'step': 3}
    assert curves_of([alone], 'accuracy/top1') == dict(model={3: 2.0})
    # A log with hierarchy.
    record = {'val/s0/accuracy/top1': 2.0, 'step': 3}
    assert curves_of([record], 'accuracy/top1') == dict(s0={3: 2.0})


def test_students_whose_names_begin_like_others():
    """They vanished from the report."""
    members = ['teacher_like', 'targeted', 'peer-1', 'teacher', 'target']
    record = {f'{name}/accuracy/top1': 50.0 for name in members}
    curves = curves_of([dict(record, step=1)], 'accuracy/top1')
    assert students_of(curves) == members[:3]
    for name in members[:3]:
        assert split_loss(f'student.{name}.loss', members[:3]) == ('task', name)
        assert group_name(f'collective.{name}.entropy') == (f'{name}/training_entropy')


def test_statistics_are_no_losses():
    """Those of a student called `ce_loss` were summed into the loss."""
    torch.manual_seed(0)
    model = CollectiveDistill(
        students=dict(ce=TINY, other=TINY),
        distiller=dict(
            type='CollectiveDistiller',
            collective_losses=dict(loss_dckd=dict(type='DCKDLoss', alpha=0)),
        ),
    )
    students = {name: dict(logits=torch.randn(4, 3)) for name in ('ce', 'other')}
    found = model.distiller.compute_collective_losses(students)
    parsed = {key: names.parse_loss(key) for key in found}
    assert all(parsed.values())
    for key, parts in parsed.items():
        assert names.is_loss(key) == parts.name.startswith('loss_dckd'), key


def test_a_name_without_a_stage_or_a_teacher_has_none():
    assert (names.without_stage('val'), names.stage_of('val')) == ('val', None)
    assert (names.without_stage('val/a'), names.stage_of('val/a')) == ('a', 'val')
    key = f'{names.teacher_prefix(1)}head.fc.weight'
    assert names.split_teacher_parameter(key) == (1, 'head.fc.weight')
    key = f'{names.parameter_prefix("s0")}head.fc.weight'
    assert names.split_teacher_parameter(key) is None


def test_gradients_of_parameters_that_are_no_students():
    owners = {
        'architecture.students.s0.head.fc.weight': 's0',
        'distiller.student_distillers.s0.connectors.a.weight': 's0',
        'distiller.collective_losses.loss_a.gate': 'distiller',
        'teachers.0.model.head.fc.weight': 'teachers',
    }
    for key, owner in owners.items():
        assert names.owner_of_parameter(key) == owner
        assert names.grad_norm(owner) == f'grad_norm.{owner}'


@pytest.mark.parametrize('key', ['collective_losses', 'distill_losses'])
@pytest.mark.parametrize(
    'name, near', [('loss.kl', 'loss_loss_kl'), ('keys', 'loss_keys'), ('1', 'loss_1')]
)
def test_names_of_losses_that_are_refused(key, name, near):
    with pytest.raises(ValueError, match=f'Invalid `distiller.{key}`') as e:
        CollectiveDistiller(['s0'], **{key: {name: dict(type='DCKDLoss')}})
    assert near in str(e.value)


#: What a name that is built or parsed elsewhere would begin with.
STARTS = (
    *(f'{part}.' for part in ('student', 'distill', 'collective', 'teacher')),
    *(f'{part}.' for part in ('target', 'grad_norm', 'teachers')),
    *(f'{member}/' for member in ('target', 'ensemble', 'best', 'cohort', 'model')),
    *(f'{stage}/' for stage in names.STAGES),
    'architecture.students.',
    'distiller.student_distillers.',
)
#: Where what looks like a name is a path, a method of a pair or a config key.
OTHER_NAMES = (
    'mmdckd/engine/visualizers/cohort_visualizer.py',  # metrics of several parts
    'mmdckd/sweep/',
    'studies/stress/kill_variants.py',
    'studies/stress/work_folder.py',
    'studies/zoo/',
)


def breaks(node):
    """What of the grammar a node of a syntax tree knows."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value.startswith(STARTS) and '\n' not in node.value:
            return node.value
        if node.value in ('teacher0', r'teacher\d+', r'teacher\d*'):
            return node.value
    if isinstance(node, ast.JoinedStr):
        # f'{member}/{metric}'
        parts = [getattr(part, 'value', None) for part in node.values]
        if len(parts) == 3 and parts[1] == '/':
            return ast.unparse(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        taken = node.func.attr in ('split', 'rsplit', 'partition', 'rpartition')
        if taken and [getattr(arg, 'value', None) for arg in node.args[:1]] == ['/']:
            return ast.unparse(node)
    return None


@pytest.mark.parametrize(
    'code',
    [
        "f'val/{key}'",
        "f'student.{name}.loss'",
        "f'{member}/{metric}'",
        "key.split('/')",
        "key.partition('/')[0]",
        "key.startswith('teachers.')",
    ],
)
def test_the_scan_finds(code):
    assert any(map(breaks, ast.walk(ast.parse(code))))


def test_no_other_module_knows_the_grammar():
    root = osp.dirname(osp.dirname(mmdckd.__file__))
    found = []
    for folder in ('mmdckd', 'tools', 'studies'):
        for path in scandir(osp.join(root, folder), '.py', recursive=True):
            path = osp.join(folder, path)
            if path.startswith(('mmdckd/names/', 'mmdckd/configs', 'mmdckd/.mim')):
                continue
            with open(osp.join(root, path), encoding='utf-8') as file:
                tree = ast.parse(file.read())
            broken = filter(None, map(breaks, ast.walk(tree)))
            if not path.startswith(OTHER_NAMES):
                found += [(path, each) for each in broken]
    assert not found
