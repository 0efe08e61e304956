# Copyright (c) mmdckd contributors. All rights reserved.
"""From a folder of images to a student, as a user asks for it."""

import dataclasses
import io
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from mmdckd.cli.train import main
from mmdckd.datasets import ImageFolder
from mmdckd.easy.argument_checks import check_apart
from mmdckd.easy.distillation import distill
from mmdckd.easy.networks import find_network
from mmdckd.report.measures import times

TENSORS = [(torch.zeros(3, 8, 8), index % 2) for index in range(4)]
NAMES = ['zero', 'one', 'two']

pytestmark = pytest.mark.usefixtures('rough_figures')


class Net(nn.Sequential):
    """A network as anybody writes it."""

    def __init__(self, num_classes, width=8):
        super().__init__(
            nn.Conv2d(3, width, 3, stride=2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * width, num_classes),
        )


def make_teacher(num_classes):
    return Net(num_classes, 16)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    digits = load_digits()
    for label, name in enumerate(NAMES):
        (folder / name).mkdir()
        for i, image in enumerate(digits.images[digits.target == label][:20]):
            picture = Image.fromarray((image * 15.9).astype(np.uint8))
            picture.resize((16, 16)).save(folder / name / f'{i}.png')
    return folder


@pytest.fixture(scope='module')
def said():
    return []


@pytest.fixture(scope='module')
def result(photos, said, tmp_path_factory):
    return distill(
        str(photos),
        student=f'python:{__name__}.Net',
        teacher=f'python:{__name__}.make_teacher',
        num_students=2,
        epochs=2,
        work_dir=str(tmp_path_factory.mktemp('run')),
        say=said.append,
    )


def test_what_comes_out(result, photos):
    assert result.name in ('student0', 'student1')
    assert result.measured_on == 'val'
    assert {'best', 'teacher', 'ensemble', 'student0', 'student1'} <= {
        key.split('/')[0] for key in result.metrics
    }
    student = result.student
    assert not student.training
    assert result.parameters[result.name] == sum(
        p.numel() for p in student.parameters()
    )
    (scores,) = result.predict(str(photos / 'one' / '3.png'))
    assert sorted(scores) == sorted(NAMES)
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    lines = result.summary()
    assert len(lines) == 5 and f'Use {result.name}' in lines[0]
    assert f'{result.metrics["teacher/accuracy/top1"]:.2f} %' in lines[1]
    assert '<html' in open(result.report).read()


def test_classes_of_one_name_keep_their_probabilities(result, photos, tmp_path):
    (expected,) = result.predict(str(photos / 'one' / '3.png'))
    content = torch.load(result.exported.checkpoint, weights_only=True)
    content['meta']['dataset_meta'] = dict(classes=['crane', 'crane', 'dog'])
    path = str(tmp_path / 'student.pth')
    torch.save(content, path)
    exported = result.exported._replace(checkpoint=path)
    (scores,) = dataclasses.replace(result, exported=exported).predict(
        str(photos / 'one' / '3.png')
    )
    assert list(scores.values()) == list(expected.values())
    assert sorted(scores) == ['crane (0)', 'crane (1)', 'dog']


def test_the_metrics_are_those_of_the_exported_student(result, photos):
    images = list(ImageFolder(str(photos), 'val'))
    found = result.predict([image['img_path'] for image in images])
    right = [
        sorted(NAMES).index(max(scores, key=scores.get)) == image['gt_label']
        for scores, image in zip(found, images)
    ]
    top1 = 100 * sum(right) / len(right)
    assert result.metrics['best/accuracy/top1'] == pytest.approx(top1)


def test_the_summary_tells_of_the_best_student(result):
    values = dict(best=12.0, ensemble=34.0, teacher=56.0)
    metrics = {f'{name}/accuracy/top1': value for name, value in values.items()}
    lines = dataclasses.replace(result, metrics=metrics).summary()
    assert lines[1] == (
        'It classifies 12.00 % of the val images correctly; the teacher 56.00 %.'
    )


@pytest.mark.parametrize('size, shown', [(400, '4.0'), (50, '0.5'), (1, '0.01')])
def test_a_teacher_of_any_size(result, size, shown):
    parameters = {'teacher': size, result.name: 100}
    lines = dataclasses.replace(result, parameters=parameters).summary()
    assert lines[2].endswith(f'the teacher {shown} times as many.')
    assert times(0.01) == '0.01 times as many'


def test_each_choice_is_said(result, said):
    assert '60 images of 3 classes' in said[0]
    assert any(line.startswith('batch_size = ') for line in said)
    assert not any(line.startswith('epochs = ') for line in said)
    assert said[-1] == f'Writing the best student and the report to {result.work_dir}'


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(result, photos):
    path = f'{result.work_dir}/students/epoch_2.pth'
    before = open(path, 'rb').read()
    again = distill(
        str(photos),
        student=f'python:{__name__}.Net',
        teacher=f'python:{__name__}.make_teacher',
        num_students=2,
        epochs=2,
        work_dir=result.work_dir,
        say=lambda line: None,
    )
    assert again.metrics == result.metrics
    assert open(path, 'rb').read() == before


def test_its_config_is_the_same_run(result, tmp_path):
    run = f'{result.work_dir}/students'
    main([f'{run}/students.py', '--work-dir', str(tmp_path)])
    ours, theirs = (
        torch.load(path, weights_only=True)['state_dict']
        for path in (
            f'{result.work_dir}/students/epoch_2.pth',
            tmp_path / 'epoch_2.pth',
        )
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(num_students=0), 'Invalid `num_students`'),
        (dict(num_students='4'), "`num_students`: expected a whole number .*got '4'"),
        (dict(num_students=1), 'nobody to learn from'),
        (dict(seed=-1), 'Invalid `seed`: expected a whole number of at least 0'),
        (dict(seed=2**32), r'Invalid `seed`: expected a whole number below 2 \*\* 32'),
        (dict(work_dir=__file__), 'Invalid `work_dir`: expected a folder to write to'),
        (dict(work_dir="it's mine"), '`work_dir`: expected a path without quotes'),
        (dict(student='resnet18'), 'Invalid `student`: .*Did you mean'),
        (dict(teacher='resnet'), 'Invalid `teacher`: .*Did you mean'),
        (dict(pretrained='no'), "Invalid `pretrained`: expected True or False, got 'n"),
        (dict(fast='off'), 'Invalid `fast`: expected True or False'),
        (dict(data=TENSORS, image_size=0), 'Invalid `image_size`: expected a whole'),
        (dict(batch_size=1000), 'Invalid `batch_size`'),
        (dict(data='nowhere'), 'Invalid `data`: expected an existing folder'),
    ],
)
def test_nothing_is_trained_where_it_cannot_be(photos, tmp_path, options, message):
    run = dict(
        data=str(photos), student=f'python:{__name__}.Net', work_dir=str(tmp_path)
    )
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        distill(**{**run, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('few, number', [(5000, 4), (10, 1)])
def test_the_data_choose_how_many_students(photos, tmp_path, monkeypatch, few, number):
    """There are 48 training images."""
    monkeypatch.setattr('mmdckd.easy.recipe.FEW', few)
    lines = []
    with pytest.raises(ValueError, match='teacher'):
        distill(
            str(photos),
            student=f'python:{__name__}.Net',
            teacher=nn.Linear(3, 3),
            work_dir=str(tmp_path),
            say=lines.append,
        )
    (line,) = [line for line in lines if line.startswith('num_students')]
    assert line.startswith(f'num_students = {number}: with ')


class Closed(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError


class Strict(io.TextIOWrapper):
    """A file that accepts UTF-8 only."""

    def __init__(self):
        super().__init__(io.BytesIO(), 'utf-8')


@pytest.mark.parametrize('verbose', [False, True])
@pytest.mark.parametrize('output', [Closed, Strict])
def test_what_is_said_never_ends_a_run(photos, tmp_path, monkeypatch, output, verbose):
    """It ends because of its teacher, behind a warning that names a file."""
    shutil.copytree(photos, tmp_path / 'photos')
    name = os.fsencode(tmp_path / 'photos' / 'one') + b'/m\xe4h.png'
    with open(name, 'wb') as file:
        Image.new('RGBA', (16, 16), 9).save(file, 'PNG')
    monkeypatch.setattr('sys.stdout', output())
    with pytest.raises(ValueError, match='`teacher`'):
        distill(
            str(tmp_path / 'photos'),
            student=f'python:{__name__}.Net',
            teacher=nn.Linear(3, 3),
            work_dir=str(tmp_path / 'run'),
            verbose=verbose,
        )
    if output is Strict:
        sys.stdout.seek(0)
        assert 'm\\udce4h.png' in sys.stdout.read()


@pytest.mark.parametrize('work_dir', ['.', 'runs/first', 'one/run'])
def test_a_run_among_its_images_is_refused(photos, tmp_path, work_dir, monkeypatch):
    """Its figures would be images of the next run."""
    monkeypatch.chdir(photos)
    with pytest.raises(ValueError, match='Invalid `work_dir`: .* outside of the image'):
        distill('.', student=f'python:{__name__}.Net', work_dir=work_dir)
    assert sorted(path.name for path in photos.iterdir()) == sorted(NAMES)
    assert work_dir == '.' or not (photos / work_dir).exists()


def test_a_run_among_the_images_of_a_config_is_refused(photos):
    data = dict(type='CustomDataset', data_root=str(photos))
    with pytest.raises(ValueError, match='Invalid `work_dir`: .* outside of the image'):
        distill(data, student=f'python:{__name__}.Net', work_dir=str(photos / 'run'))
    assert not (photos / 'run').exists()


@pytest.mark.parametrize('trained, lr', [('student', 0.05), ('teacher', 0.005)])
def test_each_network_has_its_own_learning_rate(
    photos, tmp_path, monkeypatch, trained, lr
):
    """Of a teacher with weights of other classes, a tenth."""
    teacher_lrs, seeds = [], []

    def find(spec, num_classes, pretrained, key):
        found = find_network(spec, num_classes, pretrained, key)
        return dataclasses.replace(found, has_weights=key == trained)

    def stop(settings, *_, **__):
        teacher_lrs.append(settings['optim_wrapper']['optimizer']['lr'])
        seeds.append(settings['randomness']['seed'])
        raise KeyboardInterrupt

    monkeypatch.setattr('mmdckd.easy.distillation.find_network', find)
    monkeypatch.setattr('mmdckd.easy.distillation._rehearse', lambda *_: None)
    monkeypatch.setattr('mmdckd.easy.distillation._train', stop)
    with pytest.raises(KeyboardInterrupt):
        distill(
            str(photos),
            student=f'python:{__name__}.Net',
            teacher=f'python:{__name__}.make_teacher',
            batch_size=16,
            seed=5,
            work_dir=str(tmp_path),
            say=lambda line: None,
        )
    assert (teacher_lrs, seeds) == ([lr / 4], [5])


@pytest.mark.parametrize('inside', ['train', 'val/one', 'test/run', 'more/run/first'])
def test_a_run_among_images_of_any_part_is_refused(tmp_path, inside):
    parts = {
        part: dict(type='mmdckd.ImageFolder', data_root=str(tmp_path / part))
        for part in ('train', 'val', 'test')
    }
    source = SimpleNamespace(kind='files', **parts)
    data, more = str(tmp_path), str(tmp_path / 'more')
    with pytest.raises(ValueError, match='Invalid `work_dir`: .* outside of the image'):
        check_apart(str(tmp_path / inside), data, source, more)
    check_apart(str(tmp_path / 'run'), data, source, more)


def test_a_run_beside_its_training_images_is_refused(photos, tmp_path):
    """Its folder test/ would be the test images of the next run."""
    shutil.copytree(photos, tmp_path / 'train')
    with pytest.raises(ValueError, match='Invalid `work_dir`: expected another folder'):
        distill(
            str(tmp_path), student=f'python:{__name__}.Net', work_dir=f'{tmp_path}/'
        )
    assert [path.name for path in tmp_path.iterdir()] == ['train']


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'give a config, or a folder'),
        (['a.py', '--data', 'photos'], 'not both'),
        (['--data', 'photos'], '--data needs --student'),
        (['a.py', '--teacher', 'x'], '--teacher needs --data'),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
