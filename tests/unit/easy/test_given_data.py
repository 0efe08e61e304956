# Copyright (c) mmdckd contributors. All rights reserved.
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate
from torch.utils.data import Dataset, IterableDataset

from mmdckd.datasets import Digits
from mmdckd.datasets.load_image import LoadImage
from mmdckd.datasets.pair_dataset import PairDataset
from mmdckd.datasets.pictures import as_bgr
from mmdckd.easy.source import read_source
from mmdckd.io.given import giving

DIGITS = load_digits()


def pixels(index):
    return (DIGITS.images[index] * 15.9).astype(np.uint8)


FORMS = dict(
    pil=lambda index: Image.fromarray(pixels(index)),
    gray=pixels,
    rgb=lambda index: np.repeat(pixels(index)[..., None], 3, axis=-1),
    bytes=lambda index: torch.from_numpy(pixels(index))[None],
    floats=lambda index: torch.from_numpy(pixels(index))[None] / 255,
)


def test_sixteen_bits_are_read_as_of_a_file():
    deep = Image.fromarray(np.full((4, 5), 0x3000, np.uint16))
    assert (as_bgr(deep, 'data') == 0x30).all()


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_photo_is_turned_as_its_file(tmp_path, orientation):
    path = str(tmp_path / 'photo.jpg')
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.eye(8, 16, dtype=np.uint8) * 255).save(path, exif=exif)
    of_file = LoadImage()(dict(img_path=path))['img']
    with Image.open(path) as photo:
        assert (as_bgr(photo, 'data') == of_file).all()
        assert (as_bgr(photo.convert('RGB'), 'data') == of_file).all()
        upright = ImageOps.exif_transpose(photo)
        assert (as_bgr(upright, 'data') == of_file).all()


class Pairs(Dataset):
    """A dataset as anybody writes it."""

    def __init__(self, labels, image=FORMS['pil']):
        self.labels, self.image = labels, image
        self.asked = []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.image(index), self.labels[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class CountedStream(Stream):
    def __len__(self):
        return 30


def labels(count=30, classes=3):
    return [index % classes for index in range(count)]


def build(source, part):
    config = getattr(source, part)
    with giving(source.objects), DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(config)


@pytest.mark.parametrize('shape, size', [((12, 8), None), ((12, 8), 12), ((9, 6), 4)])
def test_tensors_of_another_size(shape, size):
    image = torch.rand(3, *shape)
    with giving(dict(pairs=([(image, 0)], np.zeros(1, int)))):
        sample = PairDataset('pairs', size=size)[0]
    if size is not None:
        shape = (size, size)
        # Averaged, as an image is that a transform makes smaller.
        image = interpolate(image[None], shape, mode='bilinear', antialias=True)[0]
    assert torch.equal(sample['inputs'], image)
    assert sample['data_samples'].img_shape == shape
    assert sample['data_samples'].ori_shape == shape


@pytest.mark.parametrize('form', FORMS)
def test_forms_of_images(form):
    source = read_source(Pairs(labels(), FORMS[form]))
    assert source.num_classes == 3 and len(source) == 30
    assert source.counts == {'0': 10, '1': 10, '2': 10}
    assert source.kind == ('tensors' if form == 'floats' else 'images')
    assert source.num_train == 24 and source.short_side == 8
    val = build(source, 'val')
    for place in range(len(val)):
        index = val.get_data_info(place)['index']
        sample, expected = val[place], torch.from_numpy(pixels(index))
        if form == 'floats':
            expected = expected / 255
        assert sample['inputs'].shape == ((1 if form == 'floats' else 3), 8, 8)
        for channel in sample['inputs']:
            assert torch.equal(channel, expected)
        assert sample['data_samples'].gt_label == labels()[index]


def test_pixels_are_those_of_a_file(tmp_path):
    colors = np.random.RandomState(0).randint(0, 255, (4, 5, 3), dtype=np.uint8)
    source = read_source([(colors, 0), (colors, 1)] * 2)
    path = str(tmp_path / '0.png')
    Image.fromarray(colors).save(path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        from mmpretrain.registry import TRANSFORMS

        load = TRANSFORMS.build(dict(type='LoadImageFromFile'))
    expected = load(dict(img_path=path))['img']
    inputs = build(source, 'train')[0]['inputs']
    assert np.array_equal(inputs.permute(1, 2, 0).numpy(), expected)


def test_the_split_is_stratified_and_fixed():
    source = read_source(Pairs(labels(50, 5)))
    train, val = build(source, 'train'), build(source, 'val')
    assert len(train) == 40 and len(val) == 10
    assert sorted(val.get_gt_labels().tolist()) == sorted(labels(10, 5))
    taken = [[d.get_data_info(i)['index'] for i in range(len(d))] for d in (train, val)]
    assert not set(taken[0]) & set(taken[1])
    again = build(read_source(Pairs(labels(50, 5))), 'val')
    assert [again.get_data_info(i)['index'] for i in range(10)] == taken[1]


def test_validation_data_of_its_own():
    source = read_source(Pairs(labels(6)), Pairs(labels(3)))
    assert source.num_train == 6
    assert len(build(source, 'train')) == 6 and len(build(source, 'val')) == 3


def test_targets_save_a_pass():
    pairs = Pairs(labels(5000, 5), lambda index: FORMS['gray'](index % 1797))
    pairs.targets = pairs.labels
    pairs.classes = list('abcde')
    source = read_source(pairs)
    assert len(source) == 5000 and len(pairs.asked) == 1000
    assert source.classes == list('abcde')
    assert build(source, 'val').metainfo['classes'] == list('abcde')


def test_targets_that_are_not_the_labels():
    pairs = Pairs(labels(30))
    pairs.targets = [2 - label for label in labels(30)]
    source = read_source(pairs)
    assert build(source, 'val').get_gt_labels().shape == (6,)
    assert np.array_equal(source.objects['data'][1], labels(30))


@pytest.mark.parametrize('targets', [[[0], [1, 2]] * 15, lambda: 3, 30, None])
def test_targets_that_are_no_labels(targets):
    pairs = Pairs(labels(30))
    pairs.targets = targets
    assert np.array_equal(read_source(pairs).objects['data'][1], labels(30))


def test_a_config_of_a_dataset():
    source = read_source(dict(type='mmdckd.Digits', split='train'))
    assert source.num_classes == 10 and len(source) == 1077
    assert len(build(source, 'train')) == source.num_train
    val = dict(type='mmdckd.Digits', split='val')
    source = read_source(dict(type='mmdckd.Digits'), val)
    assert source.num_train == 1077 and len(build(source, 'val')) == 360
    sample = build(source, 'val').prepare_data(0)
    assert sample['img'].shape == (8, 8, 3)


COLORS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


class Decoded(Digits):
    """Decoded images as MMPretrain's datasets have them: RGB."""

    METAINFO = dict(classes=('a', 'b'))

    def load_data_list(self):
        return [dict(img=COLORS, gt_label=label) for label in (0, 0, 1, 1)]


def test_decoded_images_of_a_config_are_rgb():
    config = dict(type=Decoded)
    for source in (read_source(config), read_source(config, config)):
        for part in ('train', 'val'):
            (image, *_) = (each['img'] for each in build(source, part))
            assert np.array_equal(image, COLORS[..., [2, 1, 0]]), part


class Both(Pairs):
    def __getitem__(self, index):
        form = FORMS['pil'] if index else FORMS['floats']
        return form(index), self.labels[index]


@pytest.mark.parametrize(
    'data, message',
    [
        (Stream(), 'with a length and items by index, got a Stream'),
        (CountedStream(), 'with a length and items by index, got a CountedStream'),
        ([], 'empty dataset'),
        ([1, 2], 'expected .* pairs, got a int at index 0'),
        ([(1, 2, 3)], 'expected .* pairs, got a tuple of 3 at index 0'),
        (Pairs([0, 1.5]), r'whole numbers from 0, got 1\.5 for image 1'),
        (Pairs([0, 1.0]), 'whole numbers'),
        (Pairs([0, True]), 'whole numbers'),
        (Pairs([0, -1]), 'whole numbers'),
        (Pairs([0, torch.tensor([1, 0])]), 'whole numbers'),
        (Pairs(['cat', 'dog']), "whole numbers from 0, got 'cat'"),
        (Pairs([0] * 4), 'at least two classes, got 1'),
        (Pairs([0, 0, 1]), r"two images, .* got fewer for '1' \(1\)"),
        (Pairs([1, 1, 2, 2]), r"labels from 0 to 2, got fewer for '0' \(0\)"),
        (
            Pairs([0, 0, 10**15, 10**15]),
            'number of classes - 1, got 10{15} among the labels of 4 images',
        ),
        (Pairs(labels(), lambda index: DIGITS.images[index]), 'array of float64|uint8'),
        (
            Pairs(labels(), lambda index: torch.zeros(1, 8, 8 + index % 2)),
            r'one size, got \(1, 8, 8\), \(1, 8, 9\).*`image_size`',
        ),
        (Pairs(labels(), lambda index: torch.zeros(8)), r'\(C, H, W\)'),
        (
            Pairs(labels(), lambda index: torch.zeros(9, 8, 3, dtype=torch.uint8)),
            r'tensor \(H, W\), \(1, H, W\) or \(3, H, W\), got shape \(9, 8, 3\)',
        ),
        (Both(labels()), 'got both'),
        (dict(type='Nowhere'), 'config of an MMPretrain dataset'),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=f'Invalid `data.*{message}'):
        read_source(data)


def test_what_is_no_data():
    with pytest.raises(TypeError, match='Invalid `data`: .* got a int'):
        read_source(3)
    with pytest.raises(ValueError, match='Invalid `val_data`: .* 3 classes'):
        read_source(Pairs(labels()), Pairs([3]))
    with pytest.raises(ValueError, match='Invalid `val_data`: expected images'):
        read_source(Pairs(labels()), Pairs(labels(), FORMS['floats']))


def test_broken_images_of_a_config_name_the_argument_and_the_folder(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for index in range(2):
            Image.new('RGB', (8, 8)).save(tmp_path / name / f'{index}.png')
    (tmp_path / 'b' / '1.png').write_bytes(b'no image')
    broken = dict(type='CustomDataset', data_root=str(tmp_path))
    expected = f'expected readable images in {str(tmp_path)!r}, got 1 of 4'
    with pytest.raises(ValueError, match=f'Invalid `data`: {expected}'):
        read_source(broken)
    with pytest.raises(ValueError, match=f'Invalid `val_data`: {expected}'):
        read_source(Pairs([0, 0, 1, 1]), broken)


@pytest.mark.parametrize('folder', ['photos/val', Path('photos/val')])
def test_a_folder_to_validate_with_is_no_dataset(folder):
    expected = 'expected a dataset or its config, like `data`, got .*photos/val'
    with pytest.raises(ValueError, match=f'Invalid `val_data`: {expected}'):
        read_source(Pairs(labels()), folder)
    with pytest.raises(ValueError, match='expected None for a folder'):
        read_source('photos', folder)
    with pytest.raises(TypeError, match='Invalid `val_data`: expected the config of'):
        read_source(Pairs(labels()), 3)


def test_tensors_are_resized_where_that_is_asked_for():
    data = Pairs(labels(), lambda index: torch.rand(1, 8, 8 + index % 2))
    source = read_source(data, image_size=12)
    assert build(source, 'train')[0]['inputs'].shape == (1, 12, 12)


def test_classes_of_one_name_are_counted_apart():
    data = Pairs([0, 0, 1, 1, 2, 2, 2])
    data.classes = ['crane', 'dog', 'crane']
    source = read_source(data)
    assert source.classes == data.classes and len(source) == 7
    assert source.counts == {'crane (0)': 2, 'dog': 2, 'crane (2)': 3}
