# Copyright (c) mmdckd contributors. All rights reserved.
"""Whether a work folder belongs to the run that a command asks for."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmdckd.easy.changes import Changes
from mmdckd.easy.configs import student_config
from mmdckd.easy.distillation import _train
from mmdckd.easy.networks import NamedNetwork
from mmdckd.easy.recipe import choose_recipe
from mmdckd.easy.source import read_source
from mmdckd.easy.unlabeled import read_unlabeled

NETWORK = NamedNetwork(dict(type='ImageClassifier', head=dict(topk=(1, 5))), 'net')


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 255, (8, 8, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    for label, name in enumerate(['cat', 'dog']):
        for i in range(10):
            save(tmp_path / 'photos' / name / f'{i}.png', 100 * label + i)
    return tmp_path / 'photos'


@pytest.fixture
def train(photos, tmp_path, monkeypatch):
    """Starts a run in a folder; its training only leaves the name of a checkpoint."""
    run = tmp_path / 'run' / 'students'

    def leave_name():
        run.mkdir(parents=True, exist_ok=True)
        (run / 'last_checkpoint').write_text('epoch_1.pth')

    monkeypatch.setattr(
        'mmdckd.easy.distillation.build_runner',
        lambda cfg, console, only_student: SimpleNamespace(train=leave_name),
    )

    def start(
        unlabeled=None,
        data=photos,
        augmentation='none',
        image_size=32,
        teacher=None,
        **options,
    ):
        source = read_source(data if isinstance(data, list) else str(data))
        recipe = choose_recipe(
            source, batch_size=8, augmentation=augmentation, image_size=image_size
        )
        settings = student_config(source, recipe, NETWORK, 2, teacher)
        settings = read_unlabeled(unlabeled, source).mix_into(settings)
        return _train(settings, str(run), Changes(options))

    return start


@pytest.mark.parametrize(
    'key, value, named',
    [
        ('model.architecture.head.topk', (1, 2), 'model.architecture'),
        ('model.num_students', 3, 'model.num_students'),
        ('train_dataloader.dataset.val_ratio', 0.3, 'data'),
    ],
)
def test_options_are_part_of_the_run(train, key, value, named):
    train(**{key: value})
    train(**{key: value})
    with pytest.raises(ValueError, match=f'Invalid `work_dir`: .* another `{named}`'):
        train()


def test_images_of_another_name_are_the_same(train, photos):
    train()
    for path in (photos / 'cat').iterdir():
        path.rename(path.with_name(f'renamed_{path.name}'))
    train()


def test_images_in_another_place_are_the_same(train, photos, tmp_path, monkeypatch):
    more = tmp_path / 'more'
    save(more / '0.png', 1000)
    monkeypatch.chdir(tmp_path)
    train(str(more), photos)
    train('more/', 'photos/')
    photos.rename(tmp_path / 'moved')
    train(more, tmp_path / 'moved')


def test_another_augmentation_is_no_other_run(train, tmp_path):
    save(tmp_path / 'more' / '0.png', 1000)
    train(str(tmp_path / 'more'))
    train(str(tmp_path / 'more'), augmentation='flip')


def test_another_image_size_is_another_run(train):
    """The old weights would be exported with the new preprocessing."""
    train(image_size=128)
    train(image_size=128)
    with pytest.raises(ValueError, match='Invalid `work_dir`: .* another `image_size`'):
        train(image_size=32)


def test_another_preprocessor_is_another_run(train):
    train()
    with pytest.raises(ValueError, match='another `data_preprocessor`'):
        train(**{'data_preprocessor.mean': [0, 0, 0]})


@pytest.mark.parametrize(
    'other',
    [
        None,
        dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained='a.pth'),
        dict(type='TimmClassifier', model_name='resnet34'),
        dict(cfg_path='one.py', pretrained='b.pth'),
    ],
)
def test_another_teacher_is_another_run(train, tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.pth').write_bytes(b'')
    teacher = dict(cfg_path='one.py', pretrained='a.pth')
    train(teacher=teacher)
    train(teacher=dict(teacher, pretrained=str(tmp_path / 'a.pth')))
    with pytest.raises(ValueError, match='Invalid `work_dir`: .* another `teacher`'):
        train(teacher=other)


def test_a_teacher_may_move(train, tmp_path):
    train(teacher=dict(cfg_path='before/one.py', pretrained='before/a.pth'))
    train(teacher=dict(cfg_path='after/one.py', pretrained='after/a.pth'))


def test_the_first_teacher_is_another_run(train):
    train()
    with pytest.raises(ValueError, match='another `teacher`'):
        train(teacher=dict(cfg_path='one.py', pretrained='a.pth'))


@pytest.mark.parametrize(
    'change, now',
    [
        (lambda photos: save(photos / 'cat' / '10.png', 10), 21),
        (lambda photos: (photos / 'dog' / '3.png').unlink(), 19),
        (lambda photos: save(photos / 'dog' / '3.png', 10), 20),
        (
            lambda photos: shutil.move(photos / 'dog' / '3.png', photos / 'cat/x.png'),
            20,
        ),
    ],
    ids=['added', 'removed', 'replaced', 'moved'],
)
def test_other_images_are_another_run(train, photos, change, now):
    """They would be neither trained on nor kept apart from the validation images."""
    train()
    change(photos)
    with pytest.raises(
        ValueError,
        match=rf'`work_dir`: .*images in `data` \(20 in that run, {now} now\)',
    ):
        train()


def test_other_labels_are_another_run(train):
    """The student of the old ones was returned."""
    image = np.zeros((8, 8, 3), np.uint8)
    pairs = [(image, i % 2) for i in range(20)]
    train(data=pairs)
    train(data=pairs)
    with pytest.raises(ValueError, match='`work_dir`: .* other labels in `data`'):
        train(data=pairs[::-1])


def test_other_images_without_labels_are_another_run(train, photos, tmp_path):
    save(tmp_path / 'more' / '0.png', 1000)
    train(unlabeled=str(tmp_path / 'more'))
    train(unlabeled=str(tmp_path / 'more'))
    save(tmp_path / 'more' / '1.png', 1001)
    with pytest.raises(
        ValueError, match=r'images in `unlabeled` \(1 in that run, 2 now\)'
    ):
        train(unlabeled=str(tmp_path / 'more'))


def test_a_run_of_an_earlier_version_resumes(train, tmp_path):
    train()
    path = tmp_path / 'run' / 'students.py'
    lines = path.read_text()
    assert '\nimages = {' in lines
    path.write_text(lines.replace('\nimages = {', '\nothers = {'))
    train()


def test_an_option_that_is_new_is_noticed(train):
    train()
    with pytest.raises(ValueError, match='another `model.architecture`'):
        train(**{'model.architecture.head.topk': (1, 2)})
