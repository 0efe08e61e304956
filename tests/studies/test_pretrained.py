# Copyright (c) mmdckd contributors. All rights reserved.
"""The study of pretrained weights: its data, and its page."""

import numpy as np
import pytest
from PIL import Image

from studies.pretrained import photographs
from studies.pretrained.report import report


def test_tiles_are_parts_of_the_photograph_and_do_not_overlap(tmp_path, monkeypatch):
    ours = {k: v for k, v in photographs.PHOTOGRAPHS.items() if v[0] == 'sklearn'}
    assert set(ours) == {'flower', 'temple'}
    monkeypatch.setattr(photographs, 'PHOTOGRAPHS', ours)
    assert photographs.make_tiles(str(tmp_path)) == dict(train=18, val=18)
    whole = np.zeros((384, 384), np.uint8)
    for path in tmp_path.glob('*/flower/*.png'):
        row, column = (64 * int(number) for number in path.stem.split('_'))
        whole[row : row + 64, column : column + 64] += np.asarray(Image.open(path))
    photograph = Image.open(photographs._path(*ours['flower'])).convert('L')
    left, top = (photograph.width - 384) // 2, (photograph.height - 384) // 2
    middle = photograph.crop((left, top, left + 384, top + 384))
    covered = np.kron(np.indices((6, 6)).sum(0) % 2 == 0, np.ones((64, 64), bool))
    assert np.array_equal(whole, np.asarray(middle) * covered)


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, 'PHOTOGRAPHS', dict(cat=('no_package', 'a.png')))
    with pytest.raises(ModuleNotFoundError, match='pip install no_package'):
        photographs.make_tiles(str(tmp_path))


def test_a_row_has_what_was_measured():
    metrics = {
        f'{name}/accuracy/top{k}': value if k == 1 else 99.0
        for name, value in dict(
            student0=50.0, student1=60.0, best=60.0, ensemble=70.0, teacher=80.0
        ).items()
        for k in (1, 5)
    }
    rows = [
        dict(start='random', metrics=metrics, seconds=12.3),
        dict(start='ImageNet', metrics=metrics, seconds=4.0),
    ]
    page = report(rows, dict(train=3, val=9), 5)
    assert '| random | 80.0 | 60.0 | 55.0 | 70.0 | 12 |' in page
    assert '| ImageNet | 80.0 | 60.0 | 55.0 | 70.0 | 4 |' in page
    assert '3 tiles for training and 9 for validation' in page
