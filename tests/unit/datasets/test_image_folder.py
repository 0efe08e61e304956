# Copyright (c) mmdckd contributors. All rights reserved.
import shutil

import numpy as np
import pytest
from PIL import Image

from mmdckd.datasets import ImageFolder
from mmdckd.datasets.image_folder import file_digest, validation_part


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(value).randint(0, 255, (4, 4, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    for label, name in enumerate(['cat', 'dog']):
        for i in range(10):
            write(tmp_path / 'photos' / name / f'{i}.png', 100 * label + i)
    return tmp_path / 'photos'


def pixels(folder, part, **kwargs):
    """The content of the files of a part."""
    dataset = ImageFolder(str(folder), part, **kwargs)
    return sorted(open(each['img_path'], 'rb').read() for each in dataset)


def test_parts_are_stratified_and_share_nothing(photos):
    train, val = (ImageFolder(str(photos), part) for part in ('train', 'val'))
    assert np.bincount([each['gt_label'] for each in train]).tolist() == [8, 8]
    assert np.bincount([each['gt_label'] for each in val]).tolist() == [2, 2]
    assert train.metainfo['classes'] == val.metainfo['classes'] == ('cat', 'dog')
    paths = {each['img_path'] for part in (train, val) for each in part}
    assert len(paths) == 20 == len(ImageFolder(str(photos)))
    more = ImageFolder(str(photos), 'val', val_ratio=0.4)
    assert np.bincount([each['gt_label'] for each in more]).tolist() == [4, 4]


def test_the_split_follows_the_content(photos, tmp_path):
    copy = tmp_path / 'elsewhere'
    for path in photos.rglob('*.png'):
        target = copy / path.parent.name / f'renamed_{9 - int(path.stem)}.png'
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert pixels(photos, 'val') == pixels(copy, 'val')
    assert pixels(photos, 'val') != pixels(photos, 'val', seed=1)


def test_the_split_is_that_of_the_first_release(tmp_path):
    """Another one would validate a run that goes on with its training images."""
    (tmp_path / 'a').write_bytes(b'content')
    digest = file_digest(str(tmp_path / 'a'), 3)
    assert digest.hex() == '6a4ca7c579de82096bb3a5ce0fe4aa77'
    # Of the whole file.
    (tmp_path / 'a').write_bytes(bytes(2**21))
    (tmp_path / 'b').write_bytes(bytes(2**21) + b'1')
    assert len({file_digest(str(tmp_path / name)) for name in 'ab'}) == 2
    digests = {'a': b'4', 'b': b'1', 'c': b'3', 'd': b'1', 'e': b'2'}
    assert validation_part(digests, 0.2) == {'b', 'd'}
    assert validation_part(digests, 0.6) == {'b', 'd', 'e'}


def test_copies_of_an_image_stay_together(photos):
    for path in list((photos / 'cat').iterdir()):
        shutil.copy(path, path.with_name(f'copy_of_{path.name}'))
    train, val = pixels(photos, 'train'), pixels(photos, 'val')
    assert not set(train) & set(val)
    assert len(train) + len(val) == 30


def test_every_class_keeps_an_image_of_each_part(tmp_path):
    for name in ('cat', 'dog'):
        for i in range(2):
            write(tmp_path / name / f'{i}.png', i + 5 * (name == 'dog'))
    assert len(ImageFolder(str(tmp_path), 'train')) == 2
    assert len(ImageFolder(str(tmp_path), 'val', val_ratio=0.9)) == 2


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(part='test'), r"Invalid `part`: .* got 'test'"),
        (dict(part='val', val_ratio=1.0), 'Invalid `val_ratio`'),
        (dict(part='val', val_ratio='0.2'), 'Invalid `val_ratio`'),
        (dict(part='val', with_label=False), 'Invalid `with_label`.*got False'),
        (dict(ann_file='labels.txt'), "Invalid `ann_file`.*got 'labels.txt'"),
        (dict(metainfo=dict(classes=['cat'])), 'Invalid `metainfo.classes`'),
    ],
)
def test_invalid_arguments(photos, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ImageFolder(str(photos), **kwargs)


def test_too_few(photos):
    shutil.rmtree(photos / 'dog')
    with pytest.raises(ValueError, match='two or more classes, got 1'):
        ImageFolder(str(photos), 'train')
    write(photos / 'dog' / '0.png', 0)
    shutil.copy(photos / 'dog' / '0.png', photos / 'dog' / '1.png')
    with pytest.raises(ValueError, match="different images .* got 1 of 'dog'"):
        ImageFolder(str(photos), 'train')


def test_classes_without_images_can_be_tested(photos):
    for path in (photos / 'dog').iterdir():
        path.unlink()
    dataset = ImageFolder(str(photos))
    assert len(dataset) == 10 and dataset.metainfo['classes'] == ('cat', 'dog')
    for path in (photos / 'cat').iterdir():
        path.unlink()
    with pytest.raises(ValueError, match='two or more classes, got 0'):
        ImageFolder(str(photos))


def test_a_class_without_images_cannot_be_split(photos):
    (photos / 'owl').mkdir()
    assert ImageFolder(str(photos)).metainfo['classes'] == ('cat', 'dog', 'owl')
    with pytest.raises(ValueError, match="different images .* got 0 of 'owl'"):
        ImageFolder(str(photos), 'train')
