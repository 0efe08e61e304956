# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from itertools import cycle, islice

import matplotlib
import numpy as np
import pytest
from fontTools.agl import UV2AGL
from fontTools.fontBuilder import FontBuilder
from fontTools.misc.eexec import encrypt
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st

from glyph_rendering import CHARACTERS, UnusableFont, render_font

FONTS = osp.join(osp.dirname(matplotlib.__file__), 'mpl-data', 'fonts', 'ttf')


def rectangle(width, height):
    pen = TTGlyphPen(None)
    if width and height:
        corners = [(0, 0), (0, height), (width, height), (width, 0)]
        pen.moveTo((corners[0][0] + 50, corners[0][1] - 100))
        for x, y in corners[1:]:
            pen.lineTo((x + 50, y - 100))
        pen.closePath()
    return pen.glyph()


def truetype(path, sizes, characters=CHARACTERS, names=None):
    """A font whose glyphs are rectangles, of 1000 units to the em."""
    names = names or [UV2AGL[ord(c)] for c in characters]
    sizes = dict(zip(names, islice(cycle(sizes), len(names))))
    sizes['.notdef'] = (500, 111)
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(['.notdef', *names])
    builder.setupCharacterMap({ord(c): n for c, n in zip(characters, names)})
    builder.setupGlyf({n: rectangle(*size) for n, size in sizes.items()})
    builder.setupHorizontalMetrics(dict.fromkeys(sizes, (1100, 50)))
    builder.setupHorizontalHeader(ascent=1000, descent=-200)
    builder.setupNameTable(
        dict(familyName='Boxes', styleName='Thin', version='Version 7')
    )
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


def type1_number(value):
    return b'\xff' + value.to_bytes(4, 'big', signed=True)


def type1(path, sizes, characters=CHARACTERS):
    """The same as a Type 1 font, in plain text but for its glyphs."""

    def program(width, height):
        lines = [(0, height), (width, 0), (0, -height)]
        code = type1_number(50) + type1_number(1100) + bytes([13])
        if width and height:
            code += type1_number(0) + type1_number(-100) + bytes([21])
            for step in lines:
                code += b''.join(map(type1_number, step)) + bytes([5])
            code += bytes([9])
        return encrypt(bytes(4) + code + bytes([14]), 4330)[0]

    names = ['.notdef', *(UV2AGL[ord(c)] for c in characters)]
    sizes = [(0, 0), *islice(cycle(sizes), len(characters))]
    glyphs = b''.join(
        b'/%s %d RD %s ND\n' % (name.encode(), len(code), code)
        for name, code in zip(names, (program(*s) for s in sizes))
    )
    private = (
        b'dup /Private 8 dict dup begin\n'
        b'/RD {string currentfile exch readstring pop} def\n'
        b'/ND {def} def\n/BlueValues [] def\n/lenIV 4 def\n'
        b'/password 5839 def\n'
        b'2 index /CharStrings %d dict dup begin\n%send\nend\n'
        b'readonly put\nput\ndup /FontName get exch definefont pop\n'
        b'mark currentfile closefile\n' % (len(names), glyphs)
    )
    clear = (
        b'%!PS-AdobeFont-1.0: Boxes 7.5\n11 dict begin\n'
        b'/FontInfo 4 dict dup begin\n/version (7.5) readonly def\n'
        b'/FamilyName (Boxes) readonly def\n'
        b'/Weight (Thin) readonly def\nend readonly def\n'
        b'/FontName /Boxes def\n/PaintType 0 def\n/FontType 1 def\n'
        b'/FontMatrix [0.001 0 0 0.001 0 0] readonly def\n'
        b'/Encoding StandardEncoding def\n'
        b'/FontBBox {0 -200 1100 1000} readonly def\n'
        b'currentdict end\ncurrentfile eexec\n'
    )
    secret = encrypt(b'\0\0\0\0' + private, 55665)[0]
    end = b'\n' + (b'0' * 64 + b'\n') * 8 + b'cleartomark\n'
    with open(path, 'wb') as file:
        for kind, part in ((1, clear), (2, secret), (1, end)):
            file.write(b'\x80' + bytes([kind]) + len(part).to_bytes(4, 'little') + part)
        file.write(b'\x80\x03')
    return str(path)


SIZES = [(400, 700), (600, 500), (100, 650)]


@settings(deadline=None, max_examples=10)
@given(
    sizes=st.lists(
        st.tuples(st.integers(150, 1000), st.integers(150, 1000)),
        min_size=1,
        max_size=4,
    ),
    size=st.sampled_from([16, 32, 40]),
)
@pytest.mark.parametrize('build, suffix', [(truetype, 'ttf'), (type1, 'pfb')])
def test_boxes_are_centerd_at_one_scale(tmp_path_factory, build, suffix, sizes, size):
    sizes = [(1000, 700), (500, 500), *sizes]
    path = build(tmp_path_factory.mktemp('font') / f'boxes.{suffix}', sizes)
    glyphs = render_font(path, size)
    assert glyphs.images.shape == (62, size, size)
    assert glyphs.images.dtype == np.uint8
    # Pixels to a unit of the font, the largest box being 7/8 of the side.
    scale = size * 28 / 32 / 1000
    # What one pixel of the large drawing is in the image.
    step = 28 / 32 / 4
    middle = (size - 1) / 2
    for image, (width, height) in zip(glyphs.images, cycle(sizes)):
        ink = image / 255
        assert ink.sum(0).max() == pytest.approx(height * scale, abs=3 * step)
        assert ink.sum(1).max() == pytest.approx(width * scale, abs=3 * step)
        for axis in (0, 1):
            profile = ink.sum(axis)
            center = (profile * np.arange(size)).sum() / profile.sum()
            assert center == pytest.approx(middle, abs=2 * step)


def test_names_a_truetype_font(tmp_path):
    glyphs = render_font(truetype(tmp_path / 'boxes.ttf', SIZES))
    assert glyphs.name == ('Boxes', 'Thin', 'Version 7')


def test_names_a_type1_font(tmp_path):
    glyphs = render_font(type1(tmp_path / 'boxes.pfb', SIZES))
    assert (glyphs.name.family, glyphs.name.version) == ('Boxes', '7.5')


def test_same_letters_of_real_fonts_resemble_each_other():
    """A letter is nearer to itself in another style than to most others."""
    plain, oblique = (
        render_font(osp.join(FONTS, name), 32).images.reshape(62, -1) / 255
        for name in ('DejaVuSans.ttf', 'DejaVuSans-Oblique.ttf')
    )
    distances = ((plain[:, None] - oblique[None]) ** 2).sum(-1)
    rank = (distances < distances.diagonal()[:, None]).sum(1)
    assert np.median(rank) == 0


def test_small_letters_stay_smaller():
    images = render_font(osp.join(FONTS, 'DejaVuSans.ttf')).images
    rows = {c: image.any(1).sum() for c, image in zip(CHARACTERS, images)}
    assert all(rows[c] < rows[c.upper()] for c in 'acemnorsuvwxz')


@pytest.mark.parametrize('build, suffix', [(truetype, 'ttf'), (type1, 'pfb')])
def test_refuses_a_font_that_lacks_characters(tmp_path, build, suffix):
    path = build(tmp_path / f'boxes.{suffix}', SIZES, CHARACTERS[:-2])
    with pytest.raises(UnusableFont, match='lacks: yz'):
        render_font(path)


def test_refuses_a_font_with_a_blank_character(tmp_path):
    sizes = [(400 + i, 700) for i in range(62)]
    sizes[CHARACTERS.index('q')] = (0, 0)
    with pytest.raises(UnusableFont, match='leaves blank: q'):
        render_font(truetype(tmp_path / 'boxes.ttf', sizes))


def test_refuses_a_font_that_draws_all_alike(tmp_path):
    with pytest.raises(UnusableFont, match='alike'):
        render_font(truetype(tmp_path / 'boxes.ttf', [(400, 700)]))


def test_refuses_symbols_in_place_of_letters(tmp_path):
    with pytest.raises(UnusableFont, match='symbols'):
        render_font(osp.join(FONTS, 'cmex10.ttf'))
    shifted = [UV2AGL[ord(c)] for c in CHARACTERS[1:] + CHARACTERS[:1]]
    with pytest.raises(UnusableFont, match='symbols'):
        render_font(truetype(tmp_path / 'b.ttf', SIZES, names=shifted))


def test_accepts_glyphs_with_mere_numbers(tmp_path):
    names = [f'glyph{i:05}' for i in range(62)]
    path = truetype(tmp_path / 'boxes.ttf', SIZES, names=names)
    assert render_font(path).name.family == 'Boxes'


@pytest.mark.parametrize('suffix', ['ttf', 'otf', 'pfb'])
def test_refuses_what_is_no_font(tmp_path, suffix):
    path = tmp_path / f'noise.{suffix}'
    path.write_bytes(b'this is no font at all' * 20)
    with pytest.raises(UnusableFont, match='cannot be'):
        render_font(str(path))


def test_refuses_a_truncated_font(tmp_path):
    with open(osp.join(FONTS, 'DejaVuSans.ttf'), 'rb') as file:
        content = file.read()
    for length in (0, 3, 100, len(content) // 100, len(content) // 2):
        path = tmp_path / f'cut{length}.ttf'
        path.write_bytes(content[:length])
        with pytest.raises(UnusableFont):
            render_font(str(path))
