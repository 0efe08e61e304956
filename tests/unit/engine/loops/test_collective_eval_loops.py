# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch.utils.data import Dataset

import mmdckd  # noqa: F401
from helpers.networks import PREPROCESSOR, digits, network


class DigitsSlice(Dataset):
    """Some real digits, as an MMPretrain dataset gives them."""

    metainfo = dict(classes=[str(i) for i in range(10)])

    def __init__(self, start, count):
        batch = digits(count, start)
        self.items = list(zip(batch['inputs'], batch['data_samples']))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        inputs, sample = self.items[index]
        return dict(inputs=inputs, data_samples=sample)


def loader(start, count, batch_size=16):
    return dict(
        dataset=DigitsSlice(start, count),
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )


def make_runner(
    work_dir,
    num_students=2,
    epochs=2,
    val_cfg=None,
    save_best='best/accuracy/top1',
    **kwargs,
):
    return Runner(
        model=dict(
            type='mmdckd.CollectiveDistill',
            architecture=network(),
            num_students=num_students,
            teacher=network(34),
            allow_random_teacher=True,
            data_preprocessor=PREPROCESSOR,
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                collective_losses=dict(
                    loss_dckd=dict(type='mmdckd.DCKDLoss', beta=0.0)
                ),
            ),
        ),
        work_dir=str(work_dir),
        default_scope='mmpretrain',
        train_dataloader=loader(0, 64),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        val_dataloader=loader(64, 50),
        val_cfg=dict(type='mmdckd.CollectiveValLoop', **(val_cfg or {})),
        val_evaluator=dict(type='Accuracy', topk=(1, 5)),
        test_dataloader=loader(200, 50),
        test_cfg=dict(type='mmdckd.CollectiveTestLoop'),
        test_evaluator=[dict(type='Accuracy', topk=(1, 5))],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best=save_best)),
        randomness=dict(seed=0),
        experiment_name=work_dir.name + str(torch.rand(1).item()),
        **kwargs,
    )


def top1(network, model, start):
    data = model.data_preprocessor(
        torch.utils.data.default_collate(
            [dict(inputs=i) for i in digits(50, start)['inputs']]
        ),
        False,
    )
    labels = torch.tensor([int(s.gt_label) for s in digits(50, start)['data_samples']])
    with torch.no_grad():
        logits = network.eval()(data['inputs'], mode='tensor')
    return logits, 100 * float((logits.argmax(1) == labels).float().mean())


def test_every_member_is_validated_in_one_pass(tmp_path):
    runner = make_runner(tmp_path / 'run')
    calls = dict(teacher=0, loads=0)
    model = runner.model
    runner.train()
    metrics = runner.val_loop.run()

    expected = {}
    for name, student in model.cohort.items():
        expected[name] = top1(student, model, 64)[1]
    expected['teacher'] = top1(model.teachers[0].model, model, 64)[1]
    probs = [top1(s, model, 64)[0].softmax(1) for s in model.cohort.students.values()]
    labels = torch.tensor([int(s.gt_label) for s in digits(50, 64)['data_samples']])
    expected['ensemble'] = 100 * float(
        ((probs[0] + probs[1]).argmax(1) == labels).float().mean()
    )
    expected['best'] = max(expected['student0'], expected['student1'])
    for member, value in expected.items():
        assert metrics[f'{member}/accuracy/top1'] == pytest.approx(value)
    assert set(metrics) == {f'{m}/accuracy/top{k}' for m in expected for k in (1, 5)}
    best = runner.message_hub.get_info('best_student')
    assert expected[best] == pytest.approx(expected['best'])

    model.teachers[0].model.register_forward_hook(
        lambda *_: calls.update(teacher=calls['teacher'] + 1)
    )
    again = runner.val_loop.run()
    assert calls['teacher'] == 0, 'the teacher is run once, not every epoch'
    assert again == metrics
    assert list((tmp_path / 'run').glob('best_best_accuracy_top1_epoch_*.pth'))


def test_a_teacher_that_is_trained_is_validated_every_time(tmp_path):
    runner = make_runner(tmp_path / 'run', save_best=None)
    runner.model.teacher_trainable = True
    runner.val()
    fc = runner.model.teachers[0].model.head.fc
    fc.weight.data.zero_()
    fc.bias.data[3] = 9.0
    labels = [int(sample.gt_label) for sample in digits(50, 64)['data_samples']]
    metrics = runner.val_loop.run()
    assert metrics['teacher/accuracy/top1'] == pytest.approx(2 * labels.count(3))


def test_a_second_evaluation_does_not_choose_the_best_student(tmp_path):
    """As that of MMPretrain's EMAHook with the original weights."""
    runner = make_runner(tmp_path / 'run', save_best=None)
    runner.val()
    runner.message_hub.update_info('best_student', 'by the averages')
    loop = runner.val_loop
    for index, data_batch in enumerate(loop.dataloader):
        loop.run_iter(index, data_batch)
    assert 'student1/accuracy/top1' in loop.evaluator.evaluate(50)
    assert runner.message_hub.get_info('best_student') == 'by the averages'


def test_the_best_of_the_test_is_chosen_on_the_validation_split(tmp_path):
    runner = make_runner(tmp_path / 'train')
    runner.train()
    best_file = next((tmp_path / 'train').glob('best_best_*.pth'))

    tester = make_runner(tmp_path / 'test', load_from=str(best_file))
    metrics = tester.test()
    best = tester.message_hub.get_info('best_student')
    stored = torch.load(best_file, weights_only=False)['message_hub']
    assert stored['runtime_info']['best_student'] == best
    assert metrics['best/accuracy/top1'] == metrics[f'{best}/accuracy/top1']
    for name, student in tester.model.cohort.items():
        assert metrics[f'{name}/accuracy/top1'] == pytest.approx(
            top1(student, tester.model, 200)[1]
        )


def test_a_student_that_is_better_on_the_test_split_is_not_the_best(tmp_path):
    runner = make_runner(tmp_path / 'run')
    labels = [int(sample.gt_label) for sample in digits(50, 200)['data_samples']]
    classes = sorted(range(10), key=labels.count)
    # One predicts the rarest class, the other the most frequent one.
    for student, label in zip(runner.model.cohort.students.values(), classes[::9]):
        student.head.fc.weight.data.zero_()
        student.head.fc.bias.data.zero_()[label] = 9.0
    runner.message_hub.update_info('best_student', 'student0')
    metrics = runner.test()
    assert metrics['student0/accuracy/top1'] < metrics['student1/accuracy/top1']
    assert metrics['best/accuracy/top1'] == metrics['student0/accuracy/top1']


def test_a_checkpoint_that_is_best_by_auto_is_that_of_the_best_student(tmp_path):
    make_runner(tmp_path, epochs=1, save_best='auto').train()
    assert (tmp_path / 'best_best_accuracy_top1_epoch_1.pth').exists()


def test_without_validation_best_is_of_this_split_and_the_log_says_so(tmp_path):
    runner = make_runner(tmp_path / 'run')
    metrics = runner.test()
    students = [metrics[f'student{i}/accuracy/top1'] for i in range(2)]
    assert metrics['best/accuracy/top1'] == max(students)
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'names no best student' in log


def test_a_monitor_that_is_no_metric(tmp_path):
    runner = make_runner(tmp_path / 'run', val_cfg=dict(monitor='accuracy/top3'))
    with pytest.raises(ValueError, match='monitor.*accuracy/top1'):
        runner.val()


def test_mmengines_own_loop_validates_the_first_student(tmp_path):
    runner = make_runner(tmp_path / 'run')
    runner._val_loop = dict()
    runner._hooks = [h for h in runner._hooks if not isinstance(h, CheckpointHook)]
    metrics = runner.val()
    first = runner.model.cohort.students['student0']
    assert metrics['accuracy/top1'] == pytest.approx(top1(first, runner.model, 64)[1])


def test_without_a_metric(tmp_path):
    runner = make_runner(tmp_path / 'run')
    runner._val_evaluator = []
    with pytest.raises(
        ValueError, match='`val_evaluator`: expected at least one metric'
    ):
        runner.val()


def test_a_file_that_every_member_would_overwrite_is_refused(tmp_path):
    runner = make_runner(tmp_path / 'run')
    dump = dict(type='DumpResults', out_file_path=str(tmp_path / 'a.pkl'))
    runner._test_evaluator = [dict(type='Accuracy'), dump]
    with pytest.raises(ValueError, match='`test_evaluator`: .* got DumpResults'):
        runner.test()
