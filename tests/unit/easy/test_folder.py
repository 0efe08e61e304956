# Copyright (c) mmdckd contributors. All rights reserved.
import os
import shutil

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmdckd.datasets import ImageFolder
from mmdckd.easy.folder import read_folder
from mmdckd.easy.source import read_source
from mmdckd.easy.unlabeled import read_unlabeled


def fill(folder, classes=('cat', 'dog'), count=10, size=(40, 32)):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.RandomState(i).randint(0, 255, (*size, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f'{i}.png')
    return folder


def damage(path):
    """Change what lies behind the header of an image."""
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)


def warnings(path):
    return read_folder(str(path)).warnings


def test_classes_in_a_folder(tmp_path):
    folder = read_folder(str(fill(tmp_path)))
    assert folder.classes == ['cat', 'dog'] and folder.num_classes == 2
    assert folder.counts == dict(cat=10, dog=10) and len(folder) == 20
    assert folder.train == str(tmp_path)
    assert folder.val is folder.test is None
    assert folder.short_side == 32


@pytest.mark.parametrize('name', ['val', 'valid', 'validation', 'Val'])
def test_parts_in_a_folder(tmp_path, name):
    fill(tmp_path / 'train', count=3)
    fill(tmp_path / name, count=1)
    folder = read_folder(str(tmp_path))
    assert folder.train == str(tmp_path / 'train') and len(folder) == 6
    assert folder.val == str(tmp_path / name) and folder.test is None


def test_each_part_has_the_images_of_its_folder(tmp_path):
    for name in ('train', 'val', 'test'):
        fill(tmp_path / name, count=2)
    source = read_source(str(tmp_path))
    for name in ('train', 'val', 'test'):
        images = dict(type='mmdckd.ImageFolder', data_root=str(tmp_path / name))
        assert getattr(source, name) == images


def test_test_images_that_come_later_change_no_digest(tmp_path):
    """A run goes on with them: it neither trains nor validates on them."""
    for name in ('train', 'val'):
        fill(tmp_path / name, count=2)
    before = read_folder(str(tmp_path)).digest
    fill(tmp_path / 'test', count=3)
    assert read_folder(str(tmp_path)).digest == before


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda path: shutil.rmtree(path / 'dog'), 'at least two classes, got 1'),
        (
            lambda path: [(path / 'dog' / f'{i}.png').unlink() for i in range(9)],
            r"two images, .* got fewer for 'dog' \(1\)",
        ),
        (
            lambda path: (path / 'dog' / '3.png').write_text('text'),
            r'1 of 20 .* not an image of a known format.*3\.png',
        ),
        (
            lambda path: (path / 'dog' / '3.png').write_bytes(
                (path / 'dog' / '4.png').read_bytes()[:-20]
            ),
            '1 of 20 .*truncated',
        ),
        (
            lambda path: (path / 'dog' / '3.png').write_bytes(b''),
            r'1 of 20 .*it is empty.*3\.png',
        ),
        (
            lambda path: damage(path / 'dog' / '3.png'),
            r'1 of 20 .*cannot be decoded.*3\.png',
        ),
        (
            lambda path: Image.new('F', (8, 8)).save(path / 'dog' / 'x.tiff'),
            '1 of 21 .*32 bits per channel',
        ),
        (lambda path: (path / 'horse').mkdir(), r"got fewer for 'horse' \(0\)"),
        (
            lambda path: [
                shutil.copy(path / 'dog' / '0.png', path / 'dog' / f'{i}.png')
                for i in range(1, 10)
            ],
            "different images of 'dog' .* got 10 copies of one",
        ),
        (
            lambda path: os.rename(path / 'dog', os.fsencode(path / 'dog') + b'\xff'),
            r"names in UTF-8, got 'dog\\udcff' in",
        ),
        (
            lambda path: [shutil.move(path / 'dog', path / 'cat')],
            "got 1 in .*Did you mean '.*cat'",
        ),
        (
            lambda path: [
                (path / a).rename(path / b)
                for a, b in (('cat', 'val'), ('dog', 'test'))
            ],
            'expected a subfolder train beside test, val',
        ),
    ],
)
def test_bad_data(tmp_path, spoil, message):
    spoil(fill(tmp_path))
    with pytest.raises(ValueError, match=f'Invalid `data`: .*{message}'):
        read_folder(str(tmp_path))


def test_the_size_is_that_of_most_training_images(tmp_path):
    for name, sides in dict(train=(24, 40, 56, 56, 64), test=(8, 8, 8)).items():
        for side, label in [(side, label) for side in sides for label in ('a', 'b')]:
            folder = tmp_path / name / label
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.new('RGB', (side, 2 * side))
            image.save(folder / f'{len(list(folder.iterdir()))}.png')
    assert read_folder(str(tmp_path)).short_side == 56


def test_parts_with_other_classes(tmp_path):
    fill(tmp_path / 'train')
    fill(tmp_path / 'val', ('cat', 'horse'))
    with pytest.raises(ValueError, match='got different ones: dog, horse'):
        read_folder(str(tmp_path))


@pytest.mark.parametrize('part', ['val', 'test'])
def test_broken_images_of_every_part(tmp_path, part):
    for name in {'train', 'val', part}:
        fill(tmp_path / name, count=2)
    (tmp_path / part / 'cat' / '0.png').write_bytes(b'')
    with pytest.raises(ValueError, match=rf'1 of .*{part}.cat.0\.png: it is empty'):
        read_folder(str(tmp_path))


def test_no_images_to_validate_with(tmp_path):
    fill(tmp_path / 'train')
    fill(tmp_path / 'val', count=0)
    with pytest.raises(ValueError, match="expected images in '.*val', got none"):
        read_folder(str(tmp_path))


def test_two_folders_to_validate_with(tmp_path):
    for name in ('train', 'val', 'valid'):
        fill(tmp_path / name)
    with pytest.raises(ValueError, match='got val, valid'):
        read_folder(str(tmp_path))


def test_what_is_checked_is_what_is_trained_on(tmp_path):
    fill(tmp_path)
    cat = tmp_path / 'cat'
    (cat / 'nested' / 'deeper').mkdir(parents=True)
    shutil.move(cat / '0.png', cat / 'nested' / 'deeper' / '0.png')
    (cat / '1.png').rename(cat / '1.PNG')
    Image.open(cat / '2.png').save(cat / '2.WebP', lossless=True)
    (cat / '2.png').unlink()
    shutil.copy(cat / '3.png', cat / '.hidden.png')
    (cat / '.thumbnails').mkdir()
    shutil.copy(cat / '3.png', cat / '.thumbnails' / '3.png')
    shutil.copytree(cat, tmp_path / '.ipynb_checkpoints')
    (cat / 'notes.txt').write_text('text')
    os.symlink(cat / 'nowhere.png', cat / 'broken.png')
    os.mkfifo(cat / 'pipe.png')
    folder = read_folder(str(tmp_path))
    parts = [
        [each['img_path'] for each in ImageFolder(str(tmp_path), part)]
        for part in ('train', 'val')
    ]
    assert len(folder) == 20 == sum(map(len, parts))
    assert folder.num_train == len(parts[0])
    text = ' '.join(folder.warnings)
    assert 'notes.txt' in text and 'broken.png' in text and 'hidden' not in text


def test_the_split_stays_when_files_are_renamed(tmp_path):
    fill(tmp_path, ('cat',), count=12)
    fill(tmp_path, ('dog',), count=12, size=(20, 20))

    def validation():
        images = ImageFolder(str(tmp_path), 'val')
        return {open(each['img_path'], 'rb').read() for each in images}

    before = validation()
    for path in sorted(tmp_path.rglob('*.png'), reverse=True):
        nested = path.parent / 'nested'
        nested.mkdir(exist_ok=True)
        path.rename(nested / f'{17 * int(path.stem) % 101}.PNG')
    assert validation() == before and len(before) == 4


def test_images_of_two_parts_are_named(tmp_path):
    fill(tmp_path / 'train', count=4)
    fill(tmp_path / 'test', count=2)
    fill(tmp_path / 'val', count=2)
    (tmp_path / 'val' / 'dog' / '0.png').rename(tmp_path / 'val' / 'dog' / 'z.png')
    for part in ('val', 'test'):
        for name in ('cat', 'dog'):
            damage_color(tmp_path / part / name / '1.png', part + name)
    text = ' '.join(warnings(tmp_path))
    for pair in ('train and val', 'train and test', 'val and test'):
        assert f'images in both {pair} (1): ' in text
    assert 'train/cat/0.png = val/cat/0.png' in text


def damage_color(path, seed):
    """Put another image in the place of one."""
    pixels = np.random.RandomState(len(seed) + ord(seed[-1])).randint(0, 255, (8, 8))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_an_image_of_two_classes_is_named(tmp_path):
    (line,) = warnings(fill(tmp_path, count=2))
    assert line.startswith('images in several classes (2): cat/0.png = dog/0.png')


def see_through():
    """A palette with a transparent color."""
    image = Image.new('P', (8, 8), 9)
    image.info['transparency'] = 9
    return image


@pytest.mark.parametrize(
    'image, warning',
    [
        (Image.new('L', (8, 8), 9), None),
        (Image.new('CMYK', (8, 8), 9), None),
        (Image.new('P', (8, 8), 9), None),
        (Image.new('RGBA', (8, 8), 9), 'transparency (1)'),
        (Image.new('LA', (8, 8), 9), 'transparency (1)'),
        (see_through(), 'transparency (1)'),
        (Image.fromarray(np.full((8, 8), 900, np.uint16)), '16 bits per channel (1)'),
    ],
)
def test_other_kinds_of_pixels(tmp_path, image, warning):
    fill(tmp_path, count=4)
    path = tmp_path / 'dog' / ('x.tif' if image.mode == 'CMYK' else 'x.png')
    image.save(path)
    lines = [line for line in warnings(tmp_path) if 'x.' in line]
    assert [warning in line for line in lines] == ([True] if warning else [])
    assert ImageFolder(  # what a warning says is read can be read
        str(tmp_path), pipeline=[dict(type='mmdckd.LoadImage')]
    )[-1]['img'].shape == (8, 8, 3)


def test_sixteen_bits_in_a_pgm(tmp_path):
    fill(tmp_path, count=2)
    mmcv.imwrite(np.full((8, 8), 900, np.uint16), str(tmp_path / 'dog' / 'x.pgm'))
    assert any('16 bits per channel (1)' in line for line in warnings(tmp_path))


def test_sixteen_bits_in_color(tmp_path):
    fill(tmp_path, count=2)
    mmcv.imwrite(np.full((8, 8, 3), 900, np.uint16), str(tmp_path / 'dog' / 'x.png'))
    assert any('16 bits per channel (1)' in line for line in warnings(tmp_path))


@pytest.mark.parametrize(
    'kind, ending, options',
    [
        ('ICO', 'png', {}),
        ('TGA', 'jpg', {}),
        ('PCX', 'jpg', {}),
        ('TIFF', 'tif', dict(compression='lzma')),
    ],
)
def test_what_training_cannot_decode_is_refused(tmp_path, kind, ending, options):
    fill(tmp_path)
    path = tmp_path / 'cat' / f'photo.{ending}'
    pixels = np.full((40, 32, 3), 9, np.uint8)
    Image.fromarray(pixels).save(path, kind, **options)
    with pytest.raises(ValueError, match=f'cannot be decoded.*photo.{ending}'):
        read_folder(str(tmp_path))


@pytest.mark.parametrize('compression', ['raw', 'tiff_lzw', 'jpeg'])
def test_a_tiff_that_training_can_decode(tmp_path, compression):
    fill(tmp_path)
    pixels = np.full((40, 32, 3), 9, np.uint8)
    path = tmp_path / 'cat' / 'photo.tif'
    Image.fromarray(pixels).save(path, compression=compression)
    assert len(read_folder(str(tmp_path))) == 21


def test_real_numbers_in_a_pgm(tmp_path):
    fill(tmp_path)
    pixels = np.linspace(0, 255, 12, dtype='<f4').tobytes()
    (tmp_path / 'cat' / 'real.pgm').write_bytes(b'Pf\n4 3\n-1.0\n' + pixels)
    with pytest.raises(ValueError, match='32 bits per channel.*real.pgm'):
        read_folder(str(tmp_path))


def test_classes_that_look_alike(tmp_path):
    """An e with an accent is one character or two."""
    fill(tmp_path / 'train', ('caf\u00e9', 'the'), 2)
    fill(tmp_path / 'val', ('cafe\u0301', 'the'), 2)
    with pytest.raises(ValueError) as error:
        read_folder(str(tmp_path))
    for word in ("'caf\\xe9'", "'cafe\\u0301'", 'accent', 'Rename'):
        assert word in str(error.value)


def test_a_class_that_is_named_like_a_part(tmp_path):
    fill(tmp_path, ('bus', 'car', 'train'), 2)
    with pytest.raises(ValueError, match='got 0 in .* If it is a class, give it'):
        read_folder(str(tmp_path))


def test_what_is_left_out_is_named(tmp_path):
    fill(tmp_path / 'train')
    fill(tmp_path / 'raw')
    Image.new('RGB', (8, 8)).save(tmp_path / 'train' / 'loose.png')
    text = ' '.join(warnings(tmp_path))
    assert 'folders beside train (1): ' in text and 'raw' in text
    assert 'images outside a class folder (1): ' in text and 'loose.png' in text


def test_a_slash_at_the_end_changes_no_warning(tmp_path):
    fill(tmp_path)
    Image.new('RGB', (8, 8)).save(tmp_path / 'loose.png')
    assert warnings(f'{tmp_path}/') == warnings(tmp_path) != []


def test_files_that_are_no_images_are_named_where_images_are_missing(tmp_path):
    for part in ('train', 'val'):
        fill(tmp_path / part, count=2)
    message = r'Other files do not count, .*0.gif.* end in .bmp, .jpeg'
    for path in (tmp_path / 'val').glob('*/*'):
        path.rename(path.with_suffix('.gif'))
    with pytest.raises(ValueError, match=rf"in '.*val', got none. {message}"):
        read_folder(str(tmp_path))
    (tmp_path / 'val').rename(tmp_path / 'train' / 'horse')
    with pytest.raises(ValueError, match=rf"for 'horse' \(0\). {message}"):
        read_folder(str(tmp_path))
    source = read_source(str(fill(tmp_path / 'labeled')))
    with pytest.raises(ValueError, match=rf'Invalid `unlabeled`: .* none. {message}'):
        read_unlabeled(str(tmp_path / 'train' / 'horse'), source)


def test_parts_that_are_taken_for_classes_are_named(tmp_path):
    for part in ('Testing', 'Training'):
        fill(tmp_path / part)
    (line,) = [line for line in warnings(tmp_path) if 'same subfolders' in line]
    assert 'subfolders (2): Testing, Training. If cat, dog are the classes' in line
    shutil.move(tmp_path / 'Testing' / 'cat', tmp_path / 'Testing' / 'horse')
    assert not [line for line in warnings(tmp_path) if 'same subfolders' in line]


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='Invalid `data`'):
        read_folder(str(tmp_path / 'nowhere'))
