# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from sklearn.datasets import load_digits

from helpers.networks import digits, distil, losses_of, network

KD = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_kd=dict(type='mmdckd.DCKDLoss', beta=0.0, gamma=0.0, tau=2.0)
    ),
)


def kl(teacher, student, tau=2.0):
    """tau^2 KL, written out."""
    p, q = (teacher / tau).softmax(-1), (student / tau).softmax(-1)
    return tau**2 * (p * (p.log() - q.log())).sum(-1).mean()


def test_several_teachers(batch):
    model = distil(teacher=[network(34), network(18, width=8)], distiller=KD)
    assert model.teacher_names == ['teacher0', 'teacher1']
    data = model.data_preprocessor(batch, True)
    losses = model.train()(**data, mode='loss')
    logits = [t.model(data['inputs'], mode='tensor') for t in model.teachers]
    probs = sum((z / 2).softmax(-1) for z in logits) / 2
    student = model.cohort.students['student1']
    expected = kl(2 * probs.log(), student(data['inputs'], mode='tensor'))
    torch.testing.assert_close(losses['collective.student1.loss_kd.teacher'], expected)
    members = model.predict_members(**data)
    assert list(members)[-2:] == ['teacher0', 'teacher1']


def test_teacher_ckpt_is_for_one_teacher():
    with pytest.raises(ValueError, match='expected None with 2 teachers'):
        distil(teacher=[network(34), network(34)], teacher_ckpt='a.pth')


def test_a_trainable_teacher_learns_the_task_and_nothing_else(batch):
    model = distil(teacher_trainable=True, distiller=KD)
    assert any(k.startswith('teachers.0.model') for k in model.state_dict())
    losses = losses_of(model, batch)
    teacher = model.teachers[0].model
    collective = sum(
        v for k, v in losses.items() if k.startswith('collective') and 'loss' in k
    )
    collective.backward(retain_graph=True)
    assert all(p.grad is None for p in teacher.parameters())
    losses['teacher.loss'].backward()
    assert teacher.backbone.conv1.weight.grad.any()
    norms = [m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert teacher.training and not any(m.training for m in norms)
    free = distil(teacher_trainable=True, teacher_norm_eval=False).train()
    assert free.teachers[0].model.backbone.bn1.training


def views_pipeline(num_views):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return [
            TRANSFORMS.build(t)
            for t in [
                dict(
                    type='MultiView',
                    num_views=num_views,
                    transforms=[[dict(type='RandomCrop', crop_size=8, padding=2)]],
                ),
                dict(type='PackInputs'),
            ]
        ]


def batch_of_views(num_views, count=8):
    data = load_digits()
    samples = []
    for image, label in zip(data.images[:count], data.target[:count]):
        image = (image * 15.9375).astype('uint8')[..., None].repeat(3, -1)
        sample = dict(img=image, gt_label=int(label), img_shape=(8, 8))
        for transform in views_pipeline(num_views):
            sample = transform(sample)
        samples.append(sample)
    return default_collate(samples)


def test_independent_views(batch):
    model = distil(num_students=3, views='independent', distiller=KD)
    batch = batch_of_views(3)
    data = model.data_preprocessor(batch, True)
    assert len(data['inputs']) == 3
    assert not torch.equal(data['inputs'][0], data['inputs'][1])
    losses = model.train()(**data, mode='loss')
    teacher = model.teachers[0].model
    for name, student, view in zip(
        model.cohort.names, model.cohort.students.values(), data['inputs']
    ):
        expected = kl(teacher(view), student(view))
        torch.testing.assert_close(
            losses[f'collective.{name}.loss_kd.teacher'], expected
        )
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    assert model.train_step(batch_of_views(3), optim)['loss'] > 0
    validation = model.data_preprocessor(digits(4), False)
    assert len(model.predict_members(**validation)['student2']) == 4


def test_independent_views_with_peers_and_a_teacher_in_the_set():
    model = distil(
        num_students=2,
        views='independent',
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss_dckd=dict(
                    type='mmdckd.DCKDLoss',
                    tau=2.0,
                    collector=dict(type='mean', include_teacher=True),
                )
            ),
        ),
    )
    data = model.data_preprocessor(batch_of_views(2), True)
    losses = model.train()(**data, mode='loss')
    students = [s(v) for s, v in zip(model.cohort.students.values(), data['inputs'])]
    teacher = model.teachers[0].model(data['inputs'][0])
    target = ((students[1] / 2).softmax(-1) + (teacher / 2).softmax(-1)) / 2
    torch.testing.assert_close(
        losses['collective.student0.loss_dckd.collective'],
        kl(2 * target.log(), students[0]),
    )


def test_students_with_views_of_their_own_may_start_equal():
    model = distil(views='independent', distiller=KD)
    students = model.cohort.students
    students['student1'].load_state_dict(students['student0'].state_dict())
    assert losses_of(model, batch_of_views(2))


def test_mmrazors_losses_see_the_view_of_their_student():
    recorder = dict(fc=dict(type='ModuleOutputs', source='head.fc'))
    model = distil(
        views='independent',
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            student_recorders=recorder,
            teacher_recorders=recorder,
            distill_losses=dict(loss_l2=dict(type='L2Loss')),
            loss_forward_mappings=dict(
                loss_l2=dict(
                    s_feature=dict(recorder='fc', from_student=True),
                    t_feature=dict(recorder='fc', from_student=False),
                )
            ),
        ),
    )
    data = model.data_preprocessor(batch_of_views(2), True)
    losses = model.train()(**data, mode='loss')
    from mmrazor.models.losses import L2Loss

    student = model.cohort.students['student1']
    view = data['inputs'][1]
    torch.testing.assert_close(
        losses['distill.student1.loss_l2'],
        L2Loss()(student(view), model.teachers[0].model(view)),
    )


@pytest.mark.parametrize('batch, found', [(batch_of_views(3), 3), (digits(), 1)])
def test_a_pipeline_with_another_number_of_views(batch, found):
    model = distil(views='independent')
    with pytest.raises(ValueError, match=f'got {found}.*MultiView'):
        model.data_preprocessor(batch, True)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(views='both'), 'Invalid `views`: expected one of'),
        (dict(views='independent', teacher_trainable=True), '`teacher_trainable=True`'),
        (
            dict(
                views='independent',
                architecture=network(
                    train_cfg=dict(augments=dict(type='Mixup', alpha=1.0))
                ),
            ),
            'mixup',
        ),
    ],
)
def test_what_views_do_not_go_with(cfg, message):
    with pytest.raises(ValueError, match=message):
        distil(**cfg)
