# Copyright (c) mmdckd contributors. All rights reserved.
"""A folder of images without labels, as a user gives it."""

import shutil

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from mmdckd.cli.train import main
from mmdckd.easy.source import read_source
from mmdckd.easy.unlabeled import UnlabeledFolder, read_unlabeled
from mmdckd.io.images import ENDINGS, find_files
from mmdckd.registry import DATASETS

NAMES = ['zero', 'one', 'two']
NETWORK = f'python:{__name__}.make_net'


def make_net(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    )


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray((image * 15.9).astype(np.uint8))
    picture.resize((16, 16)).save(path)


@pytest.fixture
def folders(tmp_path):
    """12 labeled images of each class, and 30 others in folders of any name."""
    digits = load_digits()
    for label, name in enumerate(NAMES):
        images = digits.images[digits.target == label]
        for i in range(12):
            save(images[i], tmp_path / 'data' / name / f'{i}.png')
        for i in range(12, 22):
            save(images[i], tmp_path / 'more' / f'of {i % 3}' / f'{name}{i}.png')
    return tmp_path / 'data', tmp_path / 'more'


@pytest.mark.slow
def test_the_command_trains_on_both(folders, tmp_path, monkeypatch, capsys):
    data, more = folders
    main(
        ['--data', str(data), '--unlabeled', str(more), '--student', NETWORK]
        + ['--students', '2', '--epochs', '1', '--batch-size', '8']
        + ['--work-dir', str(tmp_path / 'run')]
    )
    printed = capsys.readouterr().out
    assert f'30 images without labels in {more}: 50 % of each batch' in printed
    cfg = Config.fromfile(tmp_path / 'run' / 'students.py')
    assert cfg.train_dataloader.dataset.type == 'mmdckd.WithUnlabeled'
    assert cfg.train_dataloader.batch_sampler.unlabeled_share == 0.5
    assert cfg.val_dataloader.dataset.type == 'mmdckd.ImageFolder'
    report = next((tmp_path / 'run').glob('*.html')).read_text()
    assert '50.0 % of the training images had no labels' in report


def test_copies_of_validation_images_are_named(folders):
    data, more = folders
    source = read_source(str(data))
    validating = read_images(source.val)
    shutil.copy(validating[0], more / 'innocent.png')
    with pytest.raises(ValueError, match='copies of 1: .*innocent.png') as error:
        read_unlabeled(str(more), source)
    assert validating[0] in str(error.value)


def test_copies_of_test_images_are_named(folders, tmp_path):
    data, more = folders
    for part in ('train', 'val', 'test'):
        shutil.copytree(data, tmp_path / 'parts' / part)
    source = read_source(str(tmp_path / 'parts'))
    save(np.eye(8), tmp_path / 'parts' / 'test' / 'one' / 'own.png')
    save(np.eye(8), more / 'innocent.png')
    with pytest.raises(ValueError, match='copies of 1: .*innocent.png .*test/one/own'):
        read_unlabeled(str(more), source)


def test_training_uses_what_was_checked(folders):
    data, more = folders
    source = read_source(str(data))
    for ending in ('webp', 'tiff', 'PNG'):
        save(np.eye(8), more / f'other.{ending}')
    (more / '.thumbs').mkdir()
    shutil.copy(read_images(source.val)[0], more / '.thumbs' / 'x.png')
    (more / '._other.png').write_bytes(b'no image')
    found = read_unlabeled(str(more), source)
    assert found.num_images == 33
    loader = dict(batch_size=8, dataset=dict(source.train, pipeline=[]))
    settings = found.mix_into(dict(train_dataloader=loader))
    dataset = settings['train_dataloader']['dataset']
    assert read_images(dataset['unlabeled']) == find_files(str(more), ENDINGS)[0]


def test_no_such_images(folders):
    source = read_source(str(folders[0]))
    none = read_unlabeled(None, source)
    settings = dict(train_dataloader=dict(batch_size=1))
    assert none.extend(source) == source
    assert none.mix_into(settings) is settings and none.lines() == []


def read_images(cfg):
    dataset = DATASETS.build(cfg)
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def test_copies_of_training_images_are_welcome(folders):
    data, more = folders
    source = read_source(str(data))
    shutil.copy(read_images(source.train)[0], more / 'again.png')
    assert read_unlabeled(str(more), source).num_images == 31


def test_a_folder_is_a_path_of_any_type(folders):
    data, more = folders
    source = read_source(data)
    found = read_unlabeled(more, source)
    assert found == read_unlabeled(str(more), source) and found.path == str(more)
    with pytest.raises(TypeError, match='`unlabeled`: expected a folder, got a list'):
        read_unlabeled([more], source)


def test_bad_folders(folders, tmp_path):
    data, more = folders
    source = read_source(str(data))
    with pytest.raises(
        FileNotFoundError, match='Invalid `unlabeled`: expected an existing'
    ):
        read_unlabeled(str(tmp_path / 'nowhere'), source)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='Invalid `unlabeled`: expected images'):
        read_unlabeled(str(tmp_path / 'empty'), source)
    (more / 'broken.png').write_bytes(b'no image')
    with pytest.raises(
        ValueError, match='Invalid `unlabeled`: .* 1 of 31 .*broken.png'
    ):
        read_unlabeled(str(more), source)


@pytest.mark.parametrize(
    'unlabeled, labeled, share, epoch',
    [(10, 10, 0.5, 20), (1, 99, 0.01, 100), (1000, 10, 0.875, 80)],
)
def test_the_share_follows_from_the_numbers(unlabeled, labeled, share, epoch, folders):
    found = UnlabeledFolder('more', unlabeled, labeled)
    assert found.share == share
    source = read_source(str(folders[0]))
    assert found.extend(source).num_train == epoch


@pytest.mark.parametrize(
    'number, size, share', [(1, 8, 0.125), (10_000, 8, 0.875), (10_000, 2, 0.5)]
)
def test_every_batch_has_both(number, size, share):
    before = dict(batch_size=size, drop_last=True, dataset=dict(pipeline=[]))
    settings = dict(train_dataloader=before)
    after = UnlabeledFolder('more', number, 500).mix_into(settings)['train_dataloader']
    assert after['batch_sampler']['unlabeled_share'] == share
    assert 'drop_last' not in after and 'drop_last' in before


def test_a_batch_of_one_has_no_room():
    settings = dict(train_dataloader=dict(batch_size=1, dataset=dict(pipeline=[])))
    with pytest.raises(ValueError, match='Invalid `batch_size`: expected at least 2'):
        UnlabeledFolder('more', 5, 5).mix_into(settings)
