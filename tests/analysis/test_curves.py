import json

import pytest
from PIL import Image

from mmdckd.analysis import draw_curves, read_curves


@pytest.fixture
def scalars(tmp_path):
    """What MMEngine writes: training and validation, line by line."""
    path = tmp_path / 'scalars.json'
    records = []
    for epoch in range(1, 31):
        records.append({'loss': 2.0 / epoch, 'epoch': epoch, 'step': 17 * epoch})
        top1 = 98 - 60 / epoch
        records.append({
            'student0/accuracy/top1': top1,
            'student0/accuracy/top5': 99.0,
            'student1/accuracy/top1': top1 + 0.5,
            'ensemble/accuracy/top1': top1 + 1,
            'best/accuracy/top1': top1 + 0.5,
            'teacher/accuracy/top1': 96.5,
            'time': 0.1,
            'step': epoch
        })
    path.write_text('\n'.join(map(json.dumps, records)))
    return path


def test_read_curves_takes_the_metric_of_every_member(scalars):
    curves = read_curves(scalars)
    assert set(curves) == {
        'student0', 'student1', 'ensemble', 'best', 'teacher'
    }
    assert curves['student0'] == {e: 98 - 60 / e for e in range(1, 31)}
    assert set(read_curves(scalars, 'accuracy/top5')) == {'student0'}


def test_draw_curves_draws_every_member(scalars, tmp_path):
    curves = read_curves(scalars)
    draw_curves(curves, tmp_path / 'all.png', 'a run')
    whole = Image.open(tmp_path / 'all.png').convert('RGB')
    colours = {c for _, c in whole.getcolors(maxcolors=1 << 24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0, 0, 0)} <= colours

    del curves['student1']
    draw_curves(curves, tmp_path / 'one.png', 'a run')
    one = Image.open(tmp_path / 'one.png').convert('RGB')
    assert (0xD5, 0x5E, 0x00) not in {
        c for _, c in one.getcolors(maxcolors=1 << 24)
    }


def test_draw_curves_needs_a_student(tmp_path):
    with pytest.raises(ValueError, match='no student'):
        draw_curves({'teacher': {1: 90.0}}, tmp_path / 'none.png', 'a run')
