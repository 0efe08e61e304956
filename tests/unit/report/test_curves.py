# Copyright (c) mmdckd contributors. All rights reserved.
import json

import pytest
from PIL import Image

from mmdckd.report import draw_curves, read_curves
from mmdckd.report.accuracy_figure import accuracy_figure
from mmdckd.visualization.style import COLORS


def write(path, records):
    path.write_text(''.join(json.dumps(r) + '\n' for r in records))
    return path


@pytest.fixture
def scalars(tmp_path):
    """What MMEngine writes: training and validation, line by line."""
    records = []
    for epoch in range(1, 31):
        records.append(dict(loss=2.0 / epoch, epoch=epoch, step=17 * epoch))
        top1 = 98 - 60 / epoch
        records.append(
            {
                'student0/accuracy/top1': top1,
                'student0/accuracy/top5': 99.0,
                'student1/accuracy/top1': top1 + 0.5,
                'ensemble/accuracy/top1': top1 + 1,
                'best/accuracy/top1': top1 + 0.5,
                'teacher/accuracy/top1': 96.5,
                'time': 0.1,
                'step': epoch,
            }
        )
    return write(tmp_path / 'scalars.json', records)


def colors_of(path):
    """The colors of an image, as '#RRGGBB'."""
    image = Image.open(path).convert('RGB')
    colors = image.getcolors(maxcolors=1 << 24)
    return {'#{:02X}{:02X}{:02X}'.format(*color) for _, color in colors}


def test_reads_the_metric_of_every_member(scalars):
    curves = read_curves(scalars)
    assert set(curves) == {'student0', 'student1', 'ensemble', 'best', 'teacher'}
    assert curves['student0'] == {e: 98 - 60 / e for e in range(1, 31)}
    assert set(read_curves(scalars, 'accuracy/top5')) == {'student0'}


def test_reads_a_single_model(tmp_path):
    records = [{'accuracy/top1': 90.0 + e, 'step': e} for e in range(1, 4)]
    path = write(tmp_path / 'scalars.json', records)
    assert read_curves(path) == {'model': {1: 91.0, 2: 92.0, 3: 93.0}}


def test_reads_a_file_that_is_being_written(scalars):
    whole = read_curves(scalars)['student0']
    text = scalars.read_text()
    scalars.write_text(text[:-40])
    assert read_curves(scalars)['student0'] == {
        epoch: value for epoch, value in whole.items() if epoch < 30
    }


def test_draws_every_member(scalars, tmp_path):
    curves = read_curves(scalars)
    draw_curves(curves, tmp_path / 'all.png', 'a run')
    assert {*COLORS[:2], '#000000'} <= colors_of(tmp_path / 'all.png')

    del curves['student1']
    draw_curves(curves, tmp_path / 'one.png', 'a run')
    assert COLORS[0] in colors_of(tmp_path / 'one.png')
    assert COLORS[1] not in colors_of(tmp_path / 'one.png')


@pytest.mark.parametrize('values', [(100.0, 100.0), (0.0, 0.0), (5.0, 72.3)])
def test_draws_any_accuracy(values, tmp_path):
    curves = dict(student0=dict(enumerate(values, 1)))
    draw_curves(curves, tmp_path / 'any.png', 'a run')
    assert COLORS[0] in colors_of(tmp_path / 'any.png')


def test_a_single_epoch_has_one_tick_and_every_member():
    curves = dict(student0={1: 40.0}, student1={1: 20.0}, ensemble={1: 60.0})
    axes = accuracy_figure(curves, None).axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    sizes = {line.get_label().split()[0]: line.get_markersize() for line in axes.lines}
    assert sizes['ensemble'] > 2 * sizes['student0']


def test_needs_a_student(tmp_path):
    with pytest.raises(ValueError, match='at least one student'):
        draw_curves({'teacher': {1: 90.0}}, tmp_path / 'none.png', 'a run')
