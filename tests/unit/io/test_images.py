# Copyright (c) mmdckd contributors. All rights reserved.
"""Images that are weapons, by their header, size or kind of file."""

import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmdckd.datasets import LoadImage
from mmdckd.easy.image_facts import look_at
from mmdckd.inference import annotate
from mmdckd.io.images import MAX_PIXELS, file_fault, find_files, size_fault


def png(width, height, size=None):
    """A PNG whose header says a size; what follows is of another."""
    buffer = io.BytesIO()
    Image.new('L', size or (1, 1)).save(buffer, 'PNG')
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack('>II', width, height)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    return bytes(content)


def whole(width, height, kind='PNG'):
    buffer = io.BytesIO()
    Image.new('RGB', (width, height)).save(buffer, kind)
    return buffer.getvalue()


def test_the_limit_is_that_of_pillow():
    with pytest.raises(Image.DecompressionBombError, match=f'{MAX_PIXELS}'):
        Image.open(io.BytesIO(png(20000, 20000)))


@pytest.mark.parametrize(
    'content, fault',
    [
        (png(30000, 30000), '30,000 x 30,000 pixels, more than 178,956,970'),
        (png(2**31 - 1, 2**31 - 1), 'more than 178,956,970'),
        (png(20000, 20000), '20,000 x 20,000 pixels'),
        (png(1, 20000), 'more than 100 times the other'),
        (whole(500, 2), 'more than 100 times the other'),
        (png(0, 5), 'header cannot be read|known format|0 x 5'),
        (b'no image', 'not an image of a known format'),
        (b'', 'not an image of a known format'),
    ],
)
def test_a_size_is_told_by_the_header(content, fault):
    assert re.search(fault, size_fault(content))


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'BMP', 'WEBP', 'TIFF', 'GIF'])
def test_usual_images_have_no_fault(kind):
    assert size_fault(whole(20, 30, kind)) is None


def test_floats_are_no_image(tmp_path):
    """They had no axis of channels, and only the values 0 and 1."""
    path = tmp_path / 'depth.pgm'
    pixels = np.linspace(0, 1, 30, dtype='<f4')
    path.write_bytes(b'Pf\n5 6\n-1.0\n' + pixels.tobytes())
    assert look_at(str(path)).fault == 'it has 32 bits per channel'
    with pytest.raises(OSError, match=r'depth\.pgm.*32 bits per channel'):
        LoadImage().transform(dict(img_path=str(path)))
    path.write_bytes(b'P5\n5 6\n65535\n' + bytes(60))
    assert look_at(str(path)).fault is None
    assert LoadImage().transform(dict(img_path=str(path)))['img'].shape == (6, 5, 3)


def test_limits_can_be_set(tmp_path):
    assert size_fault(png(20000, 20000), max_pixels=4 * 10**8) is None
    assert size_fault(png(1, 20000), max_aspect=20000) is None
    assert size_fault(png(20, 20), max_pixels=399)
    path = tmp_path / 'a.png'
    path.write_bytes(whole(20, 20))
    with pytest.raises(OSError, match=r'a\.png.*20 x 20 pixels, more than 399'):
        LoadImage(max_pixels=399).transform(dict(img_path=str(path)))
    with pytest.raises(OSError, match=r'a\.png.* it has \d+ bytes'):
        LoadImage(max_pixels=1).transform(dict(img_path=str(path)))
    path.write_bytes(whole(500, 2))
    image = LoadImage(max_aspect=250).transform(dict(img_path=str(path)))['img']
    assert image.shape == (2, 500, 3)
    with pytest.raises(OSError, match='more than 249 times the other'):
        LoadImage(max_aspect=249).transform(dict(img_path=str(path)))
    with pytest.raises(ValueError, match='Invalid `max_aspect`'):
        LoadImage(max_aspect=0.5)


def test_pillow_keeps_its_own_limit():
    before = Image.MAX_IMAGE_PIXELS
    size_fault(png(30000, 30000))
    assert Image.MAX_IMAGE_PIXELS == before


def test_an_image_that_would_fill_the_memory_is_skipped_in_training(tmp_path):
    path = tmp_path / 'large.png'
    path.write_bytes(png(30000, 30000))
    load = LoadImage(on_broken='skip')
    assert load.transform(dict(img_path=str(path))) is None
    assert load.num_skipped == 1


def test_a_pipe_is_not_read(tmp_path):
    path = tmp_path / 'pipe.png'
    os.mkfifo(path)
    assert file_fault(str(path)) == 'it is not a regular file'
    with pytest.raises(OSError, match='pipe.png.*not a regular file'):
        LoadImage().transform(dict(img_path=str(path)))
    assert file_fault(str(tmp_path)) == 'it is not a regular file'
    assert file_fault('s3://bucket/a.png') is None


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    path = tmp_path / 'sparse.png'
    with open(path, 'wb') as file:
        file.truncate(10**10)
    with pytest.raises(OSError, match='10,000,000,000 bytes'):
        LoadImage().transform(dict(img_path=str(path)))


@pytest.mark.parametrize(
    'width, height, drawn',
    [(1, 20000, 1440), (20000, 1, 1), (20, 20000, 1440), (36, 72, 720)],
)
def test_a_picture_is_as_high_as_a_screen_at_most(tmp_path, width, height, drawn):
    path = tmp_path / 'a.png'
    path.write_bytes(whole(width, height))
    assert annotate(str(path), []).size == (360, drawn)


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """An image in a folder beside others: one cannot be listed, one not entered."""
    for name in ('a/1.png', 'listing/2.png', 'entering/3/4.png'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    def deny(function, name):
        def denied(path, *args, **kwargs):
            if str(path) == str(tmp_path / name):
                raise PermissionError(13, 'Permission denied', str(path))
            return function(path, *args, **kwargs)

        return denied

    monkeypatch.setattr(os, 'scandir', deny(os.scandir, 'listing'))
    monkeypatch.setattr(os, 'stat', deny(os.stat, os.path.join('entering', '3')))
    return tmp_path


def test_a_folder_that_cannot_be_read_is_refused(locked):
    with pytest.raises(
        ValueError, match='folder .*expected one that .*got: Permission'
    ):
        find_files(str(locked), ('.png',))


def test_folders_that_cannot_be_read_are_told(locked):
    errors = []
    files, skipped = find_files(str(locked), ('.png',), errors.append)
    assert files == [str(locked / 'a' / '1.png')] and not skipped
    assert sorted(error.filename for error in errors) == [
        str(locked / 'entering' / '3'),
        str(locked / 'listing'),
    ]


def test_files_are_found_once(tmp_path):
    (tmp_path / 'b').mkdir()
    (tmp_path / '.hidden').mkdir()
    for name in ('b/1.PNG', 'a.jpg', '.c.jpg', 'd.txt', '.hidden/e.png'):
        (tmp_path / name).touch()
    (tmp_path / 'b' / 'up').symlink_to(tmp_path)
    (tmp_path / 'again').symlink_to(tmp_path / 'b')
    (tmp_path / 'loop.png').symlink_to('loop.png')
    (tmp_path / 'here.png').symlink_to('a.jpg')
    os.mkfifo(tmp_path / 'pipe.png')
    files, skipped = find_files(str(tmp_path), ('.png', '.jpg'))
    # The folder b is found by one of its two names.
    names = [os.path.relpath(path, tmp_path) for path in files]
    assert names in (
        ['a.jpg', 'again/1.PNG', 'here.png'],
        ['a.jpg', 'b/1.PNG', 'here.png'],
    )
    lines = '\n'.join(skipped)
    assert len(skipped) == 4
    assert 'loop.png: it links to nothing' in lines
    assert 'pipe.png: it is not a regular file' in lines
    assert lines.count('already searched') == 2
