# Copyright (c) mmdckd contributors. All rights reserved.
"""A label means the same class in all splits and checkpoints of a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from helpers.networks import PREPROCESSOR, build, network
from helpers.runs import run_config
from mmdckd.engine.checks import check_class_names

ANIMALS = ('cat', 'dog', 'owl')


def folders(root, classes, empty=()):
    """A folder of 4 images for each class."""
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(0 if name in empty else 4):
            pixels = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f'{index}.png')
    return str(root)


def split(root):
    return dict(
        type='CustomDataset',
        data_root=root,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    )


def config(tmp_path, train=ANIMALS, val=ANIMALS, test=None, empty=(), **check):
    """A run of one epoch over images in folders."""
    cfg = run_config(tmp_path)
    for name, classes in dict(train=train, val=val, test=test or val).items():
        loader = cfg[f'{name}_dataloader']
        if name == 'test' and test is None:
            loader.dataset = cfg.val_dataloader.dataset
        else:
            loader.pop('dataset')
            loader.dataset = split(
                folders(
                    tmp_path / 'data' / name, classes, empty if name == 'val' else ()
                )
            )
        loader.batch_size = 4
    cfg.train_cfg.max_epochs = 1
    cfg.val_evaluator = cfg.test_evaluator = dict(type='Accuracy')
    cfg.data_preprocessor.num_classes = 3
    cfg.model.architecture = network(num_classes=3)
    cfg.model.teacher = network(34, num_classes=3)
    cfg.custom_hooks = [
        dict(type='mmdckd.CheckLabelsHook', **check),
        dict(type='mmdckd.CohortStatisticsHook', image_interval=1),
    ]
    return cfg


def teacher(path, classes, **meta):
    """A checkpoint of a network that was trained on some classes."""
    model = build(**network(34, num_classes=3), data_preprocessor=dict(PREPROCESSOR))
    meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def refused(cfg, test=False):
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError) as error:
        runner.test() if test else runner.train()
    assert test or runner.iter == (3 if cfg.get('resume') else 0)
    return str(error.value)


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    (log,) = Path(runner.log_dir).glob('*.log')
    return runner, log.read_text()


def test_classes_of_a_split_are_others(tmp_path):
    message = refused(config(tmp_path, val=('dog', 'owl', 'rat')))
    assert message.startswith(
        'Invalid `val_dataloader.dataset`: expected the classes of '
        '`train_dataloader.dataset`, got others'
    )
    assert "only `train_dataloader.dataset` has 'cat';" in message
    assert "only `val_dataloader.dataset` has 'rat';" in message
    assert "label 0 is 'cat' in `train_dataloader.dataset` and 'dog'" in (message)
    assert 'allow_other_names' not in message


def test_a_split_lacks_a_class(tmp_path):
    message = refused(config(tmp_path, val=('cat', 'owl')))
    assert "only `train_dataloader.dataset` has 'dog'" in message
    assert "label 1 is 'dog'" in message
    assert 'an empty one' in message and 'allow_missing' not in message


def test_the_test_split_is_compared_before_training(tmp_path):
    message = refused(config(tmp_path, test=('cat', 'dog', 'rat')))
    assert message.startswith('Invalid `test_dataloader.dataset`: expected the cl')


def test_a_test_split_that_is_not_there_is_unknown(tmp_path):
    cfg = config(tmp_path)
    cfg.test_dataloader.dataset = split(str(tmp_path / 'nowhere'))
    _, log = train(cfg)
    (line,) = (part for part in log.splitlines() if 'not compared' in part)
    assert '`test_dataloader.dataset` (FileNotFoundError' in line


def test_an_empty_folder_is_fine_and_so_are_unknown_names(tmp_path):
    cfg = config(tmp_path, empty=('dog',))
    cfg.model.teacher_ckpt = teacher(tmp_path / 'teacher.pth', None)
    cfg.model.allow_random_teacher = False
    runner, log = train(cfg)
    assert "were not compared: the checkpoint of 'teacher'." in log
    assert 'has no images of 1 of the 3 classes' in log
    assert '1 (dog)' in log
    (written,) = Path(runner.work_dir).glob('*/vis_data/cohort_statistics.npz')
    with np.load(written) as arrays:
        assert arrays['classes'].tolist() == list(ANIMALS)


@pytest.mark.parametrize('member', ['teacher', 'student0'])
def test_classes_of_a_member_are_others(tmp_path, member):
    cfg = config(tmp_path)
    path = teacher(tmp_path / 'other.pth', ('dog', 'cat', 'owl'))
    if member == 'teacher':
        cfg.model.teacher_ckpt = path
        cfg.model.allow_random_teacher = False
    else:
        cfg.model.architecture = network(34, num_classes=3, pretrained=path)
    message = refused(cfg)
    assert message.startswith(f"Invalid checkpoint of '{member}': expected")
    assert "label 0 is 'cat' in `train_dataloader.dataset` and 'dog'" in (message)


def test_other_names_for_the_same_classes(tmp_path):
    cfg = config(tmp_path)
    cfg.model.teacher_ckpt = teacher(tmp_path / 'other.pth', ('a', 'b', 'c'))
    cfg.model.allow_random_teacher = False
    message = refused(cfg)
    assert '`default_hooks.check_labels.allow_other_names=True`' in message
    cfg.custom_hooks[0].allow_other_names = True
    cfg.experiment_name += '_allowed'
    train(cfg)


def test_classes_of_the_checkpoint_of_a_run(tmp_path):
    cfg = config(tmp_path)
    runner, _ = train(cfg)
    path = f'{runner.work_dir}/epoch_1.pth'
    other = config(tmp_path / 'other', ('cat', 'dog', 'rat'), ('cat', 'dog', 'rat'))
    for resume in (False, True):
        other.merge_from_dict(dict(load_from=path, resume=resume))
        other.experiment_name += '_again'
        source = '`resume`' if resume else '`load_from`'
        assert f"only {source} ({path!r}) has 'owl'" in refused(other)
    other.experiment_name += '_test'
    other.resume = False
    message = refused(other, test=True)
    assert f"only checkpoint ({path!r}) has 'owl'" in message


def test_the_same_classes_pass():
    assert check_class_names(dict(a=['x'], b=None, c=('x',), d=())) == ['b', 'd']
    with pytest.raises(ValueError, match='a has 1 and b 2'):
        check_class_names(dict(a=['x'], b=['x', 'y']))
