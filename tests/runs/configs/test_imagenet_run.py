# Copyright (c) mmdckd contributors. All rights reserved.
"""The ImageNet config runs as it is: on a folder of JPEGs laid out like
ImageNet, with a checkpoint where torch keeps the published weights."""

import json
import math
import os
import os.path as osp
import subprocess
from glob import glob
from types import SimpleNamespace

import pytest
import torch
from mmengine.hub import get_config
from mmpretrain import FeatureExtractor, ImageClassificationInferencer, get_model
from PIL import Image
from sklearn.datasets import load_sample_images

from helpers import warm
from helpers.paths import ROOT

pytestmark = pytest.mark.slow

TEACHER = 'resnet34_8xb32_in1k'
STUDENTS = [f'student{i}' for i in range(4)]
BATCH = 4

#: Class to the place (photograph, left, top) that all its images show.
PLACES = {
    7: (0, 20, 60),
    130: (0, 190, 20),
    311: (0, 120, 230),
    409: (0, 400, 240),
    562: (1, 30, 20),
    688: (1, 220, 60),
    805: (1, 120, 200),
    984: (1, 420, 200),
}
#: An image is that place, moved by so many pixels.
SHIFTS = dict(train=(0, 16), val=(8,))


def make_imagenet(root):
    """Make a folder for each of 1,000 classes, eight of them with images."""
    photographs = [Image.fromarray(i) for i in load_sample_images().images]
    for split, shifts in SHIFTS.items():
        for label in range(1000):
            folder = root / split / f'n{label:08d}'
            folder.mkdir(parents=True)
            if label not in PLACES:
                continue
            photograph, left, top = PLACES[label]
            for shift in shifts:
                x, y = left + shift, top + shift // 2
                image = photographs[photograph].crop((x, y, x + 180, y + 150))
                image.save(folder / f'{label}_{shift}.JPEG')


def images_of(root, split):
    paths = sorted((root / split).glob('*/*.JPEG'))
    return [str(p) for p in paths], [int(p.parent.name[1:]) for p in paths]


def save_teacher(imagenet, path):
    """Save MMPretrain's ResNet-34 with a head that knows the eight classes:
    an image is of the class whose mean features are nearest to its own,
    :math:`-|x - m_c|^2 / 2 s^2` but for what all classes share."""
    torch.manual_seed(0)
    model = get_model(TEACHER, pretrained=False)
    paths, labels = images_of(imagenet, 'train')
    features = torch.stack([f[-1].flatten() for f in FeatureExtractor(model)(paths)])
    weight = torch.zeros_like(model.head.fc.weight)
    bias = torch.full_like(model.head.fc.bias, -1e4)
    variance = features.var()
    for label in PLACES:
        mean = features[torch.tensor(labels) == label].mean(0)
        weight[label] = mean / variance
        bias[label] = -mean @ mean / (2 * variance)
    model.head.fc.load_state_dict(dict(weight=weight, bias=bias))
    torch.save(dict(state_dict=model.state_dict()), path)


def top1_of(inferencer, imagenet):
    """Per cent of the validation images that MMPretrain alone gets right."""
    paths, labels = images_of(imagenet, 'val')
    predicted = [result['pred_label'] for result in inferencer(paths)]
    return 100 * sum(map(int.__eq__, predicted, labels)) / len(labels)


def call(tool, *args, cwd):
    """Run a tool as a user does, and return what it prints."""
    process = subprocess.run(
        [warm.python(), osp.join(ROOT, 'tools', tool), *args],
        cwd=cwd,
        env=dict(os.environ, TORCH_HOME=str(cwd / 'torch')),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.returncode == 0, process.stdout[-4000:]
    return process.stdout


def train(cwd, max_epochs, *args, name='dckd_r34_r18_imagenet', options=()):
    """Train with an ImageNet config, shortened on the command line alone.

    Returns:
        SimpleNamespace: The log, and what was logged of each iteration and
        each validation.
    """
    config = osp.join(ROOT, 'configs', f'{name}.py')
    log = call(
        'train.py',
        config,
        '--work-dir',
        'run',
        *args,
        '--cfg-options',
        f'train_cfg.max_epochs={max_epochs}',
        f'train_dataloader.batch_size={BATCH}',
        f'val_dataloader.batch_size={BATCH}',
        'train_dataloader.num_workers=1',
        'val_dataloader.num_workers=1',
        'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=1',
        # Not each of the 1,000 classes has a photograph here.
        'default_hooks.check_labels.allow_missing=True',
        *options,
        cwd=cwd,
    )
    scalars = max(cwd.glob('run/*/vis_data/scalars.json'))
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    return SimpleNamespace(
        log=log,
        iterations=[r for r in records if 'loss' in r],
        validations=[r for r in records if 'loss' not in r],
    )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """One epoch, and one more after resuming."""
    folder = tmp_path_factory.mktemp('imagenet')
    imagenet = folder / 'data' / 'imagenet'
    make_imagenet(imagenet)
    # Where torch finds the published weights once they are downloaded.
    url = get_config(f'mmpretrain::resnet/{TEACHER}.py', pretrained=True).model_path
    weights = folder / 'torch' / 'hub' / 'checkpoints' / osp.basename(url)
    weights.parent.mkdir(parents=True)
    save_teacher(imagenet, weights)
    yield SimpleNamespace(
        folder=folder,
        imagenet=imagenet,
        weights=weights,
        first=train(folder, 1),
        resumed=train(folder, 2, '--resume'),
    )
    for checkpoint in folder.glob('run/*.pth'):
        checkpoint.unlink()


def test_trains_every_student_by_the_recipe(run):
    per_epoch = len(images_of(run.imagenet, 'train')[0]) // BATCH
    assert len(run.first.iterations) == per_epoch == 4
    for record in run.first.iterations + run.resumed.iterations:
        assert record['lr'] == 0.1
        for name in STUDENTS:
            for key in (
                f'student.{name}.loss',
                f'collective.{name}.loss_dckd.teacher',
                f'collective.{name}.loss_dckd.collective',
            ):
                assert math.isfinite(record[key]) and record[key] > 0, key
    losses = [[r[f'student.{n}.loss'] for n in STUDENTS] for r in run.first.iterations]
    assert all(len(set(row)) == len(STUDENTS) for row in losses)


def test_validates_with_the_weights_of_the_file(run):
    teacher = ImageClassificationInferencer(TEACHER, pretrained=str(run.weights))
    expected = top1_of(teacher, run.imagenet)
    assert expected > 50
    for record in run.first.validations + run.resumed.validations:
        assert record['teacher/accuracy/top1'] == pytest.approx(expected)
        students = [record[f'{name}/accuracy/top1'] for name in STUDENTS]
        assert record['best/accuracy/top1'] == max(students)
        assert 'ensemble/accuracy/top5' in record


def test_resumes_where_it_stopped(run):
    assert [r['step'] for r in run.first.validations] == [1]
    assert [r['step'] for r in run.resumed.validations] == [2]
    first, resumed = [
        [(r['epoch'], r['step']) for r in part.iterations]
        for part in (run.first, run.resumed)
    ]
    assert first == [(1, step) for step in (1, 2, 3, 4)]
    assert resumed == [(2, step) for step in (5, 6, 7, 8)]


def test_exports_a_plain_resnet18(run):
    (best,) = glob(str(run.folder / 'run' / 'best_*.pth'))
    call('export_student.py', best, '--out', 'exported', cwd=run.folder)
    (config,) = glob(str(run.folder / 'exported' / 'student*.py'))
    inferencer = ImageClassificationInferencer(config)
    backbone = inferencer.model.backbone
    assert type(backbone).__module__ == 'mmpretrain.models.backbones.resnet'
    assert backbone.depth == 18

    validation = max(
        run.first.validations + run.resumed.validations,
        key=lambda record: record['best/accuracy/top1'],
    )
    assert top1_of(inferencer, run.imagenet) == pytest.approx(
        validation['best/accuracy/top1']
    )


def test_a_distilled_transformer_trains_by_its_config(tmp_path):
    """Two students of random networks, on the photographs."""
    imagenet = tmp_path / 'data' / 'imagenet'
    make_imagenet(imagenet)
    run = train(
        tmp_path,
        1,
        name='dckd/dckd_convnext_small_deit_tiny_imagenet',
        options=(
            'model.num_students=2',
            'model.teacher.pretrained=False',
            'model.allow_random_teacher=True',
            'param_scheduler.1.begin=0',
        ),
    )
    for record in run.iterations:
        for name in STUDENTS[:2]:
            assert math.isfinite(record[f'student.{name}.loss'])
            assert record[f'collective.{name}.loss_dckd.teacher'] >= 0
    (record,) = run.validations
    assert 'ensemble/accuracy/top1' in record
    (best,) = glob(str(tmp_path / 'run' / 'best_*.pth'))
    call('export_student.py', best, '--out', 'exported', cwd=tmp_path)
    (config,) = glob(str(tmp_path / 'exported' / 'student*.py'))
    inferencer = ImageClassificationInferencer(config)
    head = inferencer.model.head
    assert type(head).__module__ == 'mmpretrain.models.heads.deit_head'
    assert top1_of(inferencer, imagenet) == pytest.approx(record['best/accuracy/top1'])


def test_finished_peers_teach_by_their_config(run, tmp_path):
    """Half as long as the config says in the last phase: as long as the first."""
    for name in ('data', 'torch'):
        (tmp_path / name).symlink_to(run.folder / name)
    found = train(
        tmp_path,
        1,
        name='finished/finished_r34_r18_imagenet',
        options=('phases.1.times=1',),
    )
    first = max(tmp_path.glob('run/phase0/*/vis_data/scalars.json'))
    records = [json.loads(line) for line in first.read_text().splitlines()]
    for name in STUDENTS[:2]:
        assert records[0][f'collective.{name}.loss_dckd.teacher'] > 0
        assert f'collective.{name}.loss_dckd.collective' not in records[0]
    for record in found.iterations:
        for term in ('teacher', 'collective'):
            assert record[f'collective.student0.loss_dckd.{term}'] > 0
        assert 'student.student1.loss' not in record
    (record,) = found.validations
    expected = run.first.validations[0]['teacher/accuracy/top1']
    assert record['teacher/accuracy/top1'] == expected
    (best,) = glob(str(tmp_path / 'run' / 'best_*.pth'))
    call('export_student.py', best, '--out', 'exported', cwd=tmp_path)
    (config,) = glob(str(tmp_path / 'exported' / 'student*.py'))
    assert ImageClassificationInferencer(config).model.backbone.depth == 18
