# Copyright (c) mmdckd contributors. All rights reserved.
from mmengine.config import Config

from mmdckd.report.comparison import compare, config_differences
from mmdckd.report.recorded_run import RecordedRun


def run(name, last, members=(), config=None, **kwargs):
    config = Config(
        dict(
            dict(
                model=dict(num_students=2), train_cfg=dict(max_epochs=3), work_dir=name
            ),
            **(config or {}),
        )
    )
    validation = [{'student0/accuracy/top1': 99.0, 'step': 1}, dict(last, step=2)]
    return RecordedRun(name, name, [], validation, config, '', list(members), **kwargs)


TWO = {
    'student0/accuracy/top1': 90.0,
    'student1/accuracy/top1': 94.0,
    'ensemble/accuracy/top1': 95.0,
    'best/accuracy/top1': 94.0,
    'teacher/accuracy/top1': 97.0,
    'student0/ece': 0.02,
    'student1/ece': 0.04,
    'student0/macro_recall': 0.5,
    'student1/macro_recall': 0.7,
    'ensemble/ece': 0.5,
    'cohort/agreement': 0.875,
    'target/soft_entropy': 1.25,
}
ONE = {'accuracy/top1': 80.0}


def test_rows_are_of_the_last_validation():
    members = [
        dict(role=role, parameters=count, macs=2 * count)
        for role, count in (('teacher', 5000), ('student', 1000), ('student', 1000))
    ]
    alone = run('one', ONE)
    alone.validation = [dict(ONE, step=2)]
    rows = dict(compare([run('two', TWO, members), alone]))
    assert rows['validated so far'] == 2 * ['2 of 3 epochs']
    assert rows['best student'] == [
        '99.00 % (student0, epoch 1)',
        '80.00 % (model, epoch 2)',
    ]
    assert rows['students, mean top-1 accuracy (%)'] == ['92.00', '80.00']
    assert rows['ensemble, top-1 accuracy (%)'] == ['95.00', '']
    assert rows['teacher, top-1 accuracy (%)'] == ['97.00', '']
    assert rows['students, mean ECE (%)'] == ['3.00', '']
    assert rows['students, agreement in pairs (%)'] == ['87.50', '']
    assert rows['target, entropy softened (nats)'] == ['1.250', '']
    assert rows['parameters of a student'] == ['1,000', '']
    assert rows['MACs of the teacher, one image'] == ['10,000', '']
    assert rows['students, mean macro_recall'] == ['0.6', '']
    assert 'students, mean NLL (nats)' not in rows


def test_the_method_is_told_by_its_losses():
    distiller = dict(
        collective_losses=dict(
            loss_kd=dict(type='mmdckd.DCKDLoss', beta=0.0, gamma=0.0)
        ),
        distill_losses=dict(loss_kl=dict(type='KLDivergence')),
    )
    config = dict(model=dict(distiller=distiller))
    rows = dict(compare([run('a', TWO, config=config), run('b', TWO)]))
    assert rows['method'] == [
        '2 students, DCKDLoss (teacher) + KLDivergence',
        '2 students, no distillation',
    ]


def test_configs_are_compared_key_by_key():
    one = run('one', TWO, config=dict(optim=dict(lr=0.1, type='SGD')))
    other = run('other', TWO, config=dict(optim=dict(lr=0.2, type='SGD'), seed=0))
    assert dict(config_differences([one, other])) == {
        'optim.lr': ['0.1', '0.2'],
        'seed': ['', '0'],
    }
    assert config_differences([one, one]) == []
