# Copyright (c) mmdckd contributors. All rights reserved.
import hashlib
import json
import os
import os.path as osp
import re
import shutil
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from glyph_rendering import CHARACTERS, render_font
from helpers import warm
from helpers.paths import ROOT
from mmdckd.datasets import Glyph62

FONTS = osp.join(osp.dirname(matplotlib.__file__), 'mpl-data', 'fonts', 'ttf')
SPLITS = ('train', 'val', 'test')

TOOL = osp.join(ROOT, 'tools', 'datasets', 'make_glyph62.py')


@pytest.fixture
def make(monkeypatch, capsys):
    """The tool, run here."""

    def run(*args):
        monkeypatch.syspath_prepend(osp.dirname(TOOL))
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        import make_glyph62

        try:
            make_glyph62.main()
        except SystemExit as error:
            return f'{error} {capsys.readouterr().err}'

    return run


@pytest.fixture(scope='module')
def glyphs(tmp_path_factory):
    """The set of the fonts that come with Matplotlib."""
    out = tmp_path_factory.mktemp('glyph62')
    run = subprocess.run(
        [warm.python(), TOOL, '--fonts', FONTS, '--out', str(out), '--jobs', '2'],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    with open(out / 'manifest.json', encoding='utf-8') as file:
        manifest = json.load(file)
    arrays = {split: dict(np.load(out / f'{split}.npz')) for split in SPLITS}
    return out, manifest, arrays, run.stdout


def test_counts(glyphs):
    _, manifest, arrays, stdout = glyphs
    for split in SPLITS:
        fonts = [f for f in manifest['fonts'] if f['split'] == split]
        said = manifest['splits'][split]
        assert said['fonts'] == len(fonts) > 0
        assert said['families'] == len({f['family'] for f in fonts})
        assert said['images'] == 62 * len(fonts)
        assert arrays[split]['images'].shape == (62 * len(fonts), 32, 32)
        assert re.search(rf'{split} +{62 * len(fonts)} images', stdout)
    # Every file is accounted for.
    files = [f['file'] for f in manifest['fonts'] + manifest['left_out']]
    assert sorted(files) == sorted(
        name for name in os.listdir(FONTS) if name.endswith('.ttf')
    )


def test_images_are_those_of_their_font_and_label(glyphs):
    _, manifest, arrays, _ = glyphs
    for split in SPLITS:
        index = int(arrays[split]['fonts'][0])
        font = manifest['fonts'][index]
        assert font['split'] == split
        own = arrays[split]['fonts'] == index
        labels = arrays[split]['labels'][own]
        assert sorted(labels) == list(range(62))
        images = render_font(osp.join(FONTS, font['file'])).images
        np.testing.assert_array_equal(arrays[split]['images'][own], images[labels])


def test_no_relatives_in_two_splits(glyphs):
    splits = {}
    for font in glyphs[1]['fonts']:
        word = font['family'].split()[0].lower()
        assert splits.setdefault(word, font['split']) == font['split']
    assert len(splits) > 5


def test_splits_are_those_of_the_published_set():
    """Others would train on fonts on which published results are tested."""
    from make_glyph62 import split_of

    families = ('Alegreya', 'Hack', 'Tuffy Sans', 'tuffy', 'Wine', 'Arimo')
    splits = ['train', 'val', 'val', 'val', 'test', 'test']
    assert list(map(split_of, families)) == splits


def test_manifest_tells_how_to_make_the_set_again(glyphs):
    _, manifest, arrays, _ = glyphs
    for font in manifest['fonts']:
        with open(osp.join(FONTS, font['file']), 'rb') as file:
            assert hashlib.sha256(file.read()).hexdigest() == font['sha256']
        assert font['family'] and font['version']
    for split in SPLITS:
        content = b''.join(
            arrays[split][name].tobytes() for name in ('images', 'labels', 'fonts')
        )
        assert (
            manifest['splits'][split]['sha256'] == hashlib.sha256(content).hexdigest()
        )
    assert set(manifest['made_with']) == {'mmdckd', 'pillow', 'freetype', 'fonttools'}
    assert manifest['characters'] == CHARACTERS
    text = json.dumps(manifest)
    assert FONTS not in text and '/' not in ''.join(
        f['file'] for f in manifest['fonts'] + manifest['left_out']
    )


def test_reasons_of_what_is_left_out(glyphs):
    reasons = {f['file']: f['reason'] for f in glyphs[1]['left_out']}
    assert reasons['DejaVuSansDisplay.ttf'].startswith('lacks: 0123')
    assert 'symbols' in reasons['cmex10.ttf']


def test_same_set_wherever_the_fonts_lie(glyphs, make, tmp_path):
    """Other folders, other names, other order, and a font twice."""
    fonts = glyphs[1]['fonts']
    for number, font in enumerate(reversed(fonts)):
        folder = tmp_path / 'fonts' / f'f{number % 3}'
        folder.mkdir(parents=True, exist_ok=True)
        source = osp.join(FONTS, font['file'])
        shutil.copy(source, folder / f'{number:03}.TTF')
        if number == 4:
            shutil.copy(source, folder / 'again.ttf')
    folders = [tmp_path / 'fonts' / f'f{i}' for i in (2, 0, 1)]
    error = make('--fonts', *folders, '--out', tmp_path / 'set', '--jobs', 1)
    assert error is None
    for split in SPLITS:
        again = np.load(tmp_path / 'set' / f'{split}.npz')
        for name, array in glyphs[2][split].items():
            np.testing.assert_array_equal(again[name], array)
    with open(tmp_path / 'set' / 'manifest.json', encoding='utf-8') as file:
        manifest = json.load(file)
    assert manifest['splits'] == glyphs[1]['splits']
    assert [f['reason'][:10] for f in manifest['left_out']] == ['looks like']


def test_the_dataset_reads_it(glyphs):
    out, _, arrays, _ = glyphs
    for split in SPLITS:
        dataset = Glyph62(str(out), split)
        assert len(dataset) == len(arrays[split]['labels'])
        item = dataset[5]
        assert (item['img'] == arrays[split]['images'][5][..., None]).all()
        assert dataset.CLASSES[item['gt_label']] == '5'


@pytest.mark.parametrize(
    'args, message',
    [
        (('--fonts', 'nowhere'), "'nowhere', which is not a folder"),
        (('--fonts', '.'), 'no font (.otf, .pfa, .pfb, .t1, .ttf)'),
        (('--fonts', FONTS, '--size', 0), '--size should be 1 or more'),
    ],
)
def test_says_what_is_wrong(make, monkeypatch, tmp_path, args, message):
    monkeypatch.chdir(tmp_path)
    assert message in make(*args)
    assert list(tmp_path.iterdir()) == []


def test_refuses_fonts_that_fill_not_all_splits(make, tmp_path):
    (tmp_path / 'fonts').mkdir()
    for name in ('DejaVuSans.ttf', 'DejaVuSerif.ttf', 'cmex10.ttf'):
        shutil.copy(osp.join(FONTS, name), tmp_path / 'fonts')
    error = make('--fonts', tmp_path / 'fonts', '--out', tmp_path / 'set')
    assert 'of 2 usable fonts among 3 none is in val and test' in error
    assert not (tmp_path / 'set').exists()
