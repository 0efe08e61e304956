# Copyright (c) mmdckd contributors. All rights reserved.
"""The one command on the files of Fashion-MNIST."""

import os

import numpy as np
import pytest

from helpers.clothes import make, write
from mmdckd.cli.train import main
from mmdckd.datasets import FashionMNIST
from mmdckd.easy.source import read_source


def train(data, *args):
    main(['--data', str(data), '--student', 'resnet18_8xb16_cifar10', *args])


@pytest.mark.parametrize('suffix', ['.gz', ''])
def test_the_split_is_that_of_the_dataset(suffix, tmp_path):
    source = read_source(make(tmp_path, suffix))
    assert source.classes == list(FashionMNIST.METAINFO['classes'])
    assert source.counts == dict.fromkeys(source.classes, 36)
    assert (source.num_train, source.short_side) == (330, 28)
    for part, number in (('train', 330), ('val', 30), ('test', 60)):
        cfg = dict(getattr(source, part))
        assert cfg.pop('type') == 'mmdckd.FashionMNIST'
        assert len(FashionMNIST(**cfg)) == number


@pytest.mark.slow
def test_it_trains_and_exports(tmp_path, capsys):
    (tmp_path / 'clothes').mkdir()
    make(tmp_path / 'clothes')
    out = tmp_path / 'run'
    small = ['--students', '2', '--epochs', '1', '--image-size', '16']
    train(tmp_path / 'clothes', *small, '--work-dir', str(out))
    printed = capsys.readouterr().out
    assert '360 images of 10 classes' in printed
    assert '% of the test images' in printed
    (exported,) = (out / 'exported').glob('student*.py')
    assert 'LoadImageFromFile' in exported.read_text()
    assert "'Ankle boot'" in exported.read_text()


def test_a_missing_file_is_told(tmp_path):
    make(tmp_path)
    os.remove(tmp_path / 't10k-labels-idx1-ubyte.gz')
    with pytest.raises(SystemExit) as error:
        train(tmp_path)
    assert 't10k-labels-idx1-ubyte.gz' in str(error.value)
    assert 'apt-get install dataset-fashion-mnist' in str(error.value)


def test_mnist_is_not_taken_for_it(tmp_path):
    make(tmp_path)
    labels = np.arange(360) % 9
    write(tmp_path / 'train-labels-idx1-ubyte.gz', labels.astype(np.uint8))
    with pytest.raises(SystemExit, match='expected Fashion-MNIST.*got 0 to 40.*MNIST'):
        train(tmp_path)
