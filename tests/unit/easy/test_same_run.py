# Copyright (c) mmdckd contributors. All rights reserved.
"""Whether a work folder belongs to the run that a command asks for."""

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
        lambda cfg, console: SimpleNamespace(train=leave_name),
    )

    def start(**options):
        source = read_source(str(photos))
        recipe = choose_recipe(source, batch_size=8)
        settings = student_config(source, recipe, NETWORK, 2)
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


def test_an_option_that_is_new_is_noticed(train):
    train()
    with pytest.raises(ValueError, match='another `model.architecture`'):
        train(**{'model.architecture.head.topk': (1, 2)})
