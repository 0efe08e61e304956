# Copyright (c) mmdckd contributors. All rights reserved.
"""What TensorBoard shows of a cohort, read with TensorBoard's own reader."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from PIL import Image

from helpers.runs import run_config, shallow_cohort, train
from mmdckd.engine.visualizers import CohortVisualizer
from mmdckd.engine.visualizers.cohort_visualizer import group_name

BACKENDS = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    cfg = run_config(
        tmp_path_factory.mktemp('board'),
        shallow_cohort(),
        custom_hooks=[dict(type='mmdckd.CohortStatisticsHook', image_interval=1)],
        visualizer=dict(type='mmdckd.CohortVisualizer', vis_backends=BACKENDS),
    )
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=2)
    return train(cfg)


@pytest.fixture(scope='module')
def records(run):
    (path,) = Path(run.work_dir).glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope='module')
def board(run):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator'
    )
    (folder,) = Path(run.work_dir).glob('*/vis_data')
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return events


def values(board, tag):
    return [(event.step, event.value) for event in board.Scalars(tag)]


def test_every_scalar_is_there_once(board, records):
    names = {name for record in records for name in record} - {'step'}
    assert set(board.Tags()['scalars']) == set(map(group_name, names))
    assert len(set(map(group_name, names))) == len(names)


def test_members_are_groups(board):
    groups = {}
    for tag in board.Tags()['scalars']:
        group, _, rest = tag.partition('/')
        groups.setdefault(group, set()).add(rest)
    for name in ('student0', 'student1'):
        assert {
            'loss',
            'loss_dckd/teacher',
            'loss_dckd/collective',
            'loss_dckd/correlation',
            'accuracy/top1',
            'nll',
        } <= groups[name]
    assert groups['cohort'] == {'agreement', 'training_agreement'}
    assert not any('.' in tag for tag in board.Tags()['scalars'])


def test_values_are_those_of_the_log(board, records):
    training = [r for r in records if 'iter' in r]
    validation = [r for r in records if 'iter' not in r]
    assert len(training) == 4 and len(validation) == 2
    name = 'collective.student1.loss_dckd.teacher'
    assert values(board, 'student1/loss_dckd/teacher') == [
        (r['step'], pytest.approx(r[name])) for r in training
    ]
    # A line, though the teacher is asked once.
    assert values(board, 'teacher/accuracy/top1') == [
        (r['step'], pytest.approx(r['teacher/accuracy/top1'])) for r in validation
    ]


def test_correlations_are_an_image_of_every_epoch(board):
    images = board.Images('class_correlation')
    assert [image.step for image in images] == [1, 2]
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
        assert min(pixels.shape[:2]) > 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_the_file_keeps_the_names_of_the_log(records):
    assert 'collective.student0.loss_dckd.teacher' in records[0]
    assert 'student0/accuracy/top1' in records[-1]


def test_it_draws_as_its_base_does_but_makes_no_figure_before():
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    sample = DataSample().set_gt_label(1)
    cohort, base = CohortVisualizer(name='cohort'), UniversalVisualizer(name='base')
    assert cohort.fig_save_canvas is None
    for _ in range(2):
        drawn, expected = (
            each.visualize_cls(image, sample, classes=['a', 'b'])
            for each in (cohort, base)
        )
        assert np.array_equal(drawn, expected)
        assert not np.array_equal(drawn, image)


@pytest.mark.parametrize(
    'name, grouped',
    [
        ('student.main.loss', 'main/loss'),
        ('distill.main.loss_kl', 'main/distill/loss_kl'),
        ('train/collective.main.loss_dckd.teacher', 'train/main/loss_dckd/teacher'),
        ('collective.main.entropy', 'main/training_entropy'),
        ('collective.agreement', 'cohort/training_agreement'),
        ('val/main/accuracy/top1', 'val/main/accuracy/top1'),
        ('teacher.loss', 'teacher.loss'),
        ('lr', 'lr'),
    ],
)
def test_names(name, grouped):
    assert group_name(name) == grouped


def test_other_back_ends_are_given_the_same(tmp_path):
    """Any back end: here one that remembers."""
    seen = []

    class Backend:
        def add_scalars(self, scalar_dict, step, file_path, **kwargs):
            seen.append((scalar_dict, step))

    visualizer = CohortVisualizer(name='other', save_dir=str(tmp_path))
    visualizer._vis_backends = dict(other=Backend())
    visualizer.add_scalars({'student.main.loss': 1.0}, 3)
    assert seen == [({'main/loss': 1.0}, 3)]
