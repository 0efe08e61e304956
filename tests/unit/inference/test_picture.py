# Copyright (c) mmdckd contributors. All rights reserved.
import cv2
import numpy as np
import pytest
from PIL import Image

from mmdckd.inference import annotate


@pytest.fixture
def image(tmp_path):
    """Two pixels above two others, each of another gray."""
    path = str(tmp_path / 'image.png')
    Image.fromarray(np.array([[0, 80], [160, 240]], np.uint8)).save(path)
    return path


def bar(picture, row):
    """How much of a line below the image its bar takes."""
    line = np.asarray(picture)[360 + 26 * row + 3]
    return (line == (0x9E, 0xCA, 0xE1)).all(1).mean()


def test_the_image_is_above_and_each_class_has_a_bar(image):
    picture = annotate(image, [('cat', 0.75), ('dog', 0.25), ('cow', 0.0)])
    assert picture.size == (360, 360 + 3 * 26)
    pixels = np.asarray(picture)
    for y, x, gray in ((0, 0, 0), (179, 180, 80), (180, 179, 160), (359, 359, 240)):
        assert (pixels[y, x] == gray).all()
    assert bar(picture, 0) == pytest.approx(0.75, abs=0.01)
    assert bar(picture, 1) == pytest.approx(0.25, abs=0.01)
    assert bar(picture, 2) == pytest.approx(0.0, abs=0.01)


def test_each_line_has_its_own_name_and_number(image):
    top = [('cat', 0.75), ('dog', 0.25)]
    both, second = (np.asarray(annotate(image, each)) for each in (top, top[1:]))
    assert (both[386:] == second[360:]).all()
    assert (both[360:386] != second[360:]).any()


def test_a_narrow_image_is_in_the_middle(tmp_path):
    path = str(tmp_path / 'narrow.png')
    Image.new('L', (20, 400)).save(path)
    picture = np.asarray(annotate(path, []))
    dark = np.flatnonzero((picture == 0).all((0, 2)))
    assert (dark[0], dark[-1]) == (144, 215)


def test_a_large_image_is_averaged(tmp_path):
    path = str(tmp_path / 'large.png')
    fine = np.indices((720, 720)).sum(0) % 2 * np.uint8(255)
    Image.fromarray(fine.astype(np.uint8)).save(path)
    picture = np.asarray(annotate(path, []))
    assert picture.shape == (360, 360, 3)
    assert abs(picture[9:-9, 9:-9] - 127.5).max() < 9


def test_names_are_written_and_long_ones_are_cut(image):
    pictures = [
        np.asarray(annotate(image, [(name, 0.5)]))[360:]
        for name in ('cat', 'dog', 'W' * 80, 'W' * 81)
    ]
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[2] == pictures[3]).all()
    assert pictures[2].shape == pictures[0].shape


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path):
    path = str(tmp_path / 'turned.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees
    Image.new('RGB', (40, 20)).save(path, exif=exif)
    assert annotate(path, []).size == (360, 720)


@pytest.mark.parametrize('ending', ['png', 'tif', 'pgm'])
def test_sixteen_bits_are_drawn_as_they_are_classified(tmp_path, ending):
    path = str(tmp_path / f'deep.{ending}')
    cv2.imwrite(path, np.linspace(0, 65535, 36**2).astype(np.uint16).reshape(36, 36))
    picture = np.asarray(annotate(path, []))[::10, ::10]
    assert (picture == cv2.imread(path)).all()


def test_a_damaged_exif_field_does_not_matter(tmp_path):
    """Pillow refuses to write a text where it expects a number."""
    path = str(tmp_path / 'turned.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees
    exif[0x010F] = 'maker'
    content = exif.tobytes().replace(b'\x01\x0f\x00\x02', b'\x01\x00\x00\x02')
    Image.new('RGB', (40, 20)).save(path, exif=content)
    assert cv2.imread(path).shape == (40, 20, 3)
    assert annotate(path, []).size == (360, 720)
