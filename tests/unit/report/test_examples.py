# Copyright (c) mmdckd contributors. All rights reserved.
"""Which images are shown, and the page that shows them."""

import base64
import dataclasses
import html
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from helpers.cohort_arrays import cohort_arrays
from mmdckd.datasets import Digits
from mmdckd.report.examples import DISAGREE, RESOLVED, find_examples
from mmdckd.report.recorded_run import RecordedRun
from mmdckd.report.report import _examples, write_report
from mmdckd.report.thumbnails import build_dataset, read_pictures

HOSTILE = [
    '<script>alert(1)</script>',
    '$\\frac{',
    '"><img src=x onerror=y>',
    'n' * 300,
]
#: By image: the label, and the top-1 of two students, ensemble and teacher.
TABLE = [(0, (0, 0, 0, 0)), (1, (2, 3, 1, 1)), (2, (2, 1, 2, 2)), (3, (0, 0, 0, 3))]
SURE = (0.9, 0.8, 0.7, 0.6)


def arrays_of(files, classes=HOSTILE):
    arrays = cohort_arrays(num_classes=4)
    return dict(
        arrays,
        classes=np.array(classes),
        step=np.array(1),
        labels=np.array([label for label, _ in TABLE]),
        top=np.array([top for _, top in TABLE]).T,
        confidence=np.array([SURE] * len(TABLE)).T,
        numbers=np.arange(len(TABLE)),
        files=np.frombuffer('\0'.join(files).encode(), np.uint8),
    )


def run_of(arrays, **config):
    members = ('student0', 'student1', 'ensemble', 'best', 'teacher')
    record = {f'{name}/accuracy/top1': 50.0 for name in members}
    config = Config(dict(model=dict(), train_cfg=dict(max_epochs=1), **config))
    return RecordedRun('run', '', [], [dict(record, step=1)], config, '', [], arrays)


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f'{i}.png') for i in range(len(TABLE))]
    for i, path in enumerate(paths):
        Image.new('RGB', (300, 200 + i), (40 * i, 0, 0)).save(path)
    return paths


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are not rendered, which takes most of the time of a page."""
    content = io.BytesIO()
    Image.new('RGB', (8, 8)).save(content, 'PNG')
    monkeypatch.setattr('mmdckd.report.report.to_png', lambda _: content.getvalue())


def test_each_kind_has_its_images():
    found = {kind.title: kind for kind in find_examples(arrays_of([]), 'student0')}
    chosen = {title: [e.index for e in kind.examples] for title, kind in found.items()}
    assert chosen == {
        'Sure and right: student0': [0, 2],
        'Sure and wrong: student0': [1, 3],
        # The one that both students have wrong comes first.
        RESOLVED: [1, 2],
        DISAGREE: [1, 2],
    }
    said = found[RESOLVED].examples[0].said
    assert [(s.members, s.prediction, s.right) for s in said] == [
        ('student0', HOSTILE[2], False),
        ('ensemble', HOSTILE[1], True),
        ('teacher', HOSTILE[1], True),
        ('student1', HOSTILE[3], False),
    ]
    assert [kind.count for kind in find_examples(arrays_of([]), 'student0', 1)] == [
        2,
        2,
        2,
        2,
    ]


def test_the_clearest_images_come_first():
    arrays = arrays_of([])
    arrays['confidence'] = np.array(
        [[0.5, 0.6, 0.9, 0.8], [0.9] * 4, [0.7, 0.8, 0.4, 0.6], [0.9] * 4]
    )
    kinds = find_examples(arrays, 'student0')
    assert {kind.title: [e.index for e in kind.examples] for kind in kinds} == {
        'Sure and right: student0': [2, 0],
        'Sure and wrong: student0': [3, 1],
        RESOLVED: [1, 2],
        # As many predictions; of the second the ensemble is less sure.
        DISAGREE: [2, 1],
    }


def test_a_network_alone_has_what_it_gets_right_and_wrong():
    arrays = arrays_of([])
    arrays = dict(arrays, members=np.array(['model']), students=np.array(['model']))
    arrays.update(top=arrays['top'][:1], confidence=arrays['confidence'][:1])
    kinds = find_examples(arrays, 'model')
    assert [kind.count for kind in kinds] == [2, 2]


class Images(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == 'img':
            self.found.append(dict(attrs))


def test_hostile_names_are_text(files, tmp_path):
    arrays = arrays_of(files)
    page = open(write_report([run_of(arrays)], str(tmp_path / 'out'))).read()
    images = Images(page)
    assert 'script' not in images.tags
    assert not any({'onerror', 'x'} & set(image) for image in images.found)
    assert all(image['src'].startswith('data:image/') for image in images.found)
    assert any(HOSTILE[2] in image['alt'] for image in images.found)
    for name in HOSTILE:
        assert name in html.unescape(page)
    assert len(page) < 3e6


def test_pictures_are_small_and_of_the_images(files):
    pictures = read_pictures(run_of(arrays_of(files)), [3, 0])
    assert list(pictures.shown) == [3, 0] and not pictures.faults
    assert all(len(address) < 5000 for address in pictures.shown.values())


def test_sixteen_bits_are_shown_as_the_network_sees_them(tmp_path):
    paths = []
    for i in range(len(TABLE)):
        paths.append(str(tmp_path / f'{i}.png'))
        Image.fromarray(np.full((8, 8), 0x3000 + i, np.uint16)).save(paths[-1])
    (address,) = read_pictures(run_of(arrays_of(paths)), [0]).shown.values()
    content = base64.b64decode(address.partition(',')[2])
    with Image.open(io.BytesIO(content)) as thumbnail:
        assert thumbnail.getextrema() == ((0x30, 0x30),) * 3


@pytest.mark.usefixtures('blank_figures')
def test_a_missing_image_leaves_the_others(files, tmp_path):
    missing = [*files[:2], str(tmp_path / 'gone.png'), files[3]]
    run = run_of(arrays_of(missing))
    page = open(write_report([run], str(tmp_path / 'out'))).read()
    captions = page.count('<figcaption>')
    shown = [i for i in Images(page).found if i['alt'].startswith('An image of')]
    absent = html.unescape(page).count("gone.png' cannot be read: No such file")
    assert captions == 8 and absent == 3 and len(shown) == 5
    assert 'The images are not available' not in page


@pytest.mark.usefixtures('blank_figures')
def test_if_all_images_are_missing_a_note_says_why(tmp_path):
    gone = [str(tmp_path / f'{i}.png') for i in range(len(TABLE))]
    page = open(write_report([run_of(arrays_of(gone))], str(tmp_path / 'out'))).read()
    assert 'The images are not available: ' in page and '0.png' in page
    assert 'Sure and right' not in page


@pytest.mark.usefixtures('blank_figures')
def test_runs_that_differ_in_punctuation_have_their_own_figures(tmp_path):
    run = run_of(dict(cohort_arrays(), step=np.array(1)))
    runs = [dataclasses.replace(run, name=name) for name in ('KD+', 'KD*')]
    write_report(runs, str(tmp_path))
    drawn = [path.name for path in (tmp_path / 'figures').iterdir()]
    of_each = [
        {name[len(stem) :] for name in drawn if name.startswith(f'{stem}_')}
        for stem in ('KD_', 'KD_-2')
    ]
    assert of_each[0] and of_each[0] == of_each[1]
    assert len(drawn) == 2 * len(of_each[0])


def test_the_examples_are_those_of_the_best_student(files):
    run = run_of(arrays_of(files))
    run.validation[0].update({'student1/accuracy/top1': 60.0})
    assert run.best.student == 'student1'
    titles = [kind.title for kind in _examples(run).kinds]
    assert titles[:2] == ['Sure and right: student1', 'Sure and wrong: student1']


@pytest.mark.usefixtures('blank_figures')
def test_without_predictions_a_note_says_so(tmp_path):
    run = run_of(dict(cohort_arrays(), step=np.array(1)))
    page = open(write_report([run], str(tmp_path / 'out'))).read()
    assert 'has not recorded predictions for single images' in page


@pytest.mark.parametrize('kind', ['mmdckd.Digits', 'mmdckd.datasets.digits.Digits'])
def test_a_dataset_that_holds_its_images_is_read(kind):
    dataset = dict(type=kind, split='val', pipeline=[dict(type='Evil')])
    run = run_of(
        dict(arrays_of([''] * len(TABLE))), val_dataloader=dict(dataset=dataset)
    )
    built = build_dataset(run.config)
    run.statistics['labels'] = np.array(
        [int(built.get_data_info(i)['gt_label']) for i in range(len(TABLE))]
    )
    assert len(read_pictures(run, [0, 1]).shown) == 2
    run.statistics['labels'] = run.statistics['labels'] + 1
    with pytest.raises(ValueError, match='other images now'):
        read_pictures(run, [0])


class Colored(Digits):
    """Decoded images as MMPretrain's CIFAR has them: RGB."""

    def load_data_list(self):
        images = [np.full((8, 8, 3), (250, 10, i), np.uint8) for i in range(len(TABLE))]
        return [dict(img=img, gt_label=i) for i, img in enumerate(images)]


def test_a_dataset_that_holds_its_images_is_rgb(monkeypatch):
    """Pictures of CIFAR had red and blue in each other's place."""
    monkeypatch.setattr('mmdckd.report.thumbnails.build_dataset', lambda _: Colored())
    run = run_of(arrays_of([''] * len(TABLE)))
    for number in (0, 3):
        run.statistics.update(numbers=np.array([number]), labels=np.array([number]))
        (address,) = read_pictures(run, [0]).shown.values()
        content = base64.b64decode(address.partition(',')[2])
        with Image.open(io.BytesIO(content)) as thumbnail:
            assert thumbnail.getextrema() == ((250, 250), (10, 10), (number, number))


@pytest.mark.parametrize(
    'dataset',
    [
        dict(type='ImageNet', data_root='x'),
        dict(type='evil.module.Digits'),
        dict(type='mmpretrain.CIFAR10', data_root='there/is/none'),
        {},
    ],
)
def test_no_other_dataset_is_built(dataset):
    config = Config(dict(val_dataloader=dict(dataset=dataset)))
    with pytest.raises(ValueError, match='in no files|cannot be read'):
        build_dataset(config)
