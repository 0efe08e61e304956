# Copyright (c) mmdckd contributors. All rights reserved.
import shutil

import numpy as np
import pytest
from PIL import Image

from mmdckd.easy.folder import read_folder
from mmdckd.easy.recipe import choose_recipe


def fill(folder, classes=('cat', 'dog'), count=10, size=(40, 32)):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.RandomState(i).randint(0, 255, (*size, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f'{i}.png')
    return folder


def test_classes_in_a_folder(tmp_path):
    folder = read_folder(str(fill(tmp_path)))
    assert folder.classes == ['cat', 'dog'] and folder.num_classes == 2
    assert folder.counts == dict(cat=10, dog=10) and len(folder) == 20
    assert folder.train == str(tmp_path)
    assert folder.val is folder.test is None
    assert folder.short_side == 32


def test_parts_in_a_folder(tmp_path):
    fill(tmp_path / 'train', count=3)
    fill(tmp_path / 'valid', count=1)
    folder = read_folder(str(tmp_path))
    assert folder.train == str(tmp_path / 'train') and len(folder) == 6
    assert folder.val == str(tmp_path / 'valid') and folder.test is None


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda path: shutil.rmtree(path / 'dog'), 'two or more classes, got 1'),
        (
            lambda path: [(path / 'dog' / f'{i}.png').unlink() for i in range(9)],
            r"two images, .* got fewer of 'dog' \(1\)",
        ),
        (
            lambda path: (path / 'dog' / '3.png').write_text('text'),
            r'1 of 20 images .* no image whose format is known.*3\.png',
        ),
        (
            lambda path: (path / 'dog' / '3.png').write_bytes(
                (path / 'dog' / '4.png').read_bytes()[:-20]
            ),
            '1 of 20 images',
        ),
    ],
)
def test_bad_data(tmp_path, spoil, message):
    spoil(fill(tmp_path))
    with pytest.raises(ValueError, match=f'Invalid `data`: .*{message}'):
        read_folder(str(tmp_path))


def test_parts_with_other_classes(tmp_path):
    fill(tmp_path / 'train')
    fill(tmp_path / 'val', ('cat', 'horse'))
    with pytest.raises(ValueError, match='got others: dog, horse'):
        read_folder(str(tmp_path))


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='Invalid `data`'):
        read_folder(str(tmp_path / 'nowhere'))


def test_what_is_chosen_has_a_reason(tmp_path):
    recipe = choose_recipe(read_folder(str(fill(tmp_path))))
    assert recipe.image_size == 32 and recipe.is_small
    assert recipe.batch_size == 2 and recipe.epochs == 100
    for name in ('image_size', 'batch_size', 'epochs', 'lr', 'num_workers'):
        (line,) = [r for r in recipe.reasons if r.startswith(f'{name} = ')]
        assert f' = {getattr(recipe, name)}: ' in line


def test_what_is_given_stays(tmp_path):
    given = dict(image_size=48, batch_size=4, epochs=3, lr=0.2)
    recipe = choose_recipe(read_folder(str(fill(tmp_path))), **given)
    assert {name: getattr(recipe, name) for name in given} == given
    assert not any(r.startswith(tuple(given)) for r in recipe.reasons)


@pytest.mark.parametrize('given', [dict(batch_size=17), dict(epochs=0)])
def test_what_cannot_be(tmp_path, given):
    (name,) = given
    with pytest.raises(ValueError, match=f'Invalid `{name}`'):
        choose_recipe(read_folder(str(fill(tmp_path))), **given)
