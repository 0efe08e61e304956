# Copyright (c) mmdckd contributors. All rights reserved.
import math
import sys

import pytest
from mmengine.config import Config

from mmdckd.report import epoch_figures
from mmdckd.report.panels import Room
from mmdckd.report.recorded_run import RecordedRun


def run(collective_losses=None, train_cfg=None, training=(), **validation):
    records = [
        {
            'student0/accuracy/top1': 50.0,
            'student1/accuracy/top1': 51.0,
            'step': step,
            **{key: values[step - 1] for key, values in validation.items()},
        }
        for step in (1, 2)
    ]
    config = Config(
        dict(
            model=dict(distiller=dict(collective_losses=collective_losses)),
            train_cfg=train_cfg or dict(max_epochs=10),
        )
    )
    return RecordedRun('run', '', list(training), records, config)


def lines(axes):
    return {line.get_label(): dict(zip(*line.get_data())) for line in axes.lines}


def test_weights_follow_the_ramp():
    loss = dict(type='mmdckd.DCKDLoss', tau=2.0, beta=3.0, ramp=dict(end=5, begin=1))
    figure = epoch_figures.draw_weights(run(dict(loss_dckd=loss)))
    (axes,) = figure.axes
    drawn = lines(axes)
    assert list(drawn) == ['teacher  4', 'collective  12', 'correlation  -0.1']
    assert set(drawn['teacher  4'].values()) == {4.0}
    for time, weight in drawn['collective  12'].items():
        x = (min(time, 5) - 1) / 4
        assert weight == pytest.approx(12 * math.exp(-5 * (1 - x) ** 2) * (time >= 1))
    assert (min(drawn['teacher  4']), max(drawn['teacher  4'])) == (0, 10)
    assert axes.get_xlabel() == 'epoch'


def test_a_ramp_by_iterations_has_their_axis():
    loss = dict(type='mmdckd.DCKDLoss', ramp=dict(end=100, by_epoch=False))
    (axes,) = epoch_figures.draw_weights(run(dict(loss_dckd=loss))).axes
    assert axes.get_xlabel() == 'iteration'
    assert max(lines(axes)['teacher  16']) == 150


def test_without_such_a_loss_there_are_no_weights():
    assert epoch_figures.draw_weights(run()) is None
    gated = dict(loss_one=dict(type='mmdckd.GatedEnsembleLoss'))
    assert epoch_figures.draw_weights(run(gated)) is None


def test_weights_need_no_collector_of_a_user():
    loss = dict(type='mmdckd.DCKDLoss', collector=dict(type='mmdckd.Unknown'))
    assert epoch_figures.draw_weights(run(dict(loss_dckd=loss))) is not None


@pytest.mark.parametrize('kind', ['antigravity.Loss', 'os.system', 'a.b.DCKDLoss'])
def test_weights_of_a_foreign_loss_are_not_drawn_or_imported(kind, monkeypatch):
    monkeypatch.delitem(sys.modules, 'antigravity', raising=False)
    assert epoch_figures.draw_weights(run(dict(loss_own=dict(type=kind)))) is None
    assert 'antigravity' not in sys.modules


@pytest.mark.parametrize(
    'kind', ['DCKDLoss', 'mmrazor.DCKDLoss', 'mmdckd.models.losses.dckd_loss.DCKDLoss']
)
def test_weights_of_a_loss_by_any_of_its_names(kind):
    assert epoch_figures.draw_weights(run(dict(loss_dckd=dict(type=kind)))) is not None


def test_losses_are_by_term_and_student():
    training = [
        {
            'loss': 9.0 / i,
            'student.student0.loss': 2.0 / i,
            'student.student1.loss': 3.0 / i,
            'collective.student0.loss_dckd.teacher': 4.0 / i,
            'distill.student1.loss_kl': 5.0 / i,
            'collective.student0.entropy': 1.0,
            'lr': 0.1,
            'iter': i,
        }
        for i in (1, 2)
    ]
    figure = epoch_figures.draw_losses(run(training=training))
    panels = {axes.get_title(): axes for axes in figure.axes if axes.lines}
    assert set(panels) == {'sum of all losses', 'task', 'loss_dckd.teacher', 'loss_kl'}
    first, second = panels['task'].lines
    assert list(first.get_ydata()) == [2.0, 1.0]
    assert list(second.get_ydata()) == [3.0, 1.5]
    (line,) = panels['loss_kl'].lines
    # The second student looks like the second student in all panels.
    assert line.get_color() == second.get_color() != first.get_color()
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        'student0',
        'student1',
    ]
    assert epoch_figures.draw_losses(run()) is None


def test_statistics_are_in_their_units_and_limits():
    recorded = run(
        **{
            'student0/ece': (0.1, 0.2),
            'student1/ece': (0.3, 0.1),
            'teacher/ece': (0.05, 0.05),
        }
    )
    figure = epoch_figures.draw_statistics(
        recorded, epoch_figures.CALIBRATION, dict(ece=Room(0.0, 0.5, 0.2))
    )
    (axes,) = figure.axes
    assert axes.get_title() == 'Expected calibration error'
    assert [list(line.get_ydata()) for line in axes.lines] == [
        [10, 20],
        [30, 10],
        [5, 5],
    ]
    assert axes.get_ylim() == (-2.5, 52.5)
    assert epoch_figures.draw_statistics(recorded, epoch_figures.ENTROPY) is None


def test_a_metric_that_the_report_does_not_know_has_a_panel():
    cohort = run(
        **{'student0/macro_recall': (0.5, 0.7), 'student0/ece': (0.1, 0.2)},
        **{'ensemble/macro_recall': (0.6, 0.8)},
    )
    group = epoch_figures.other_metrics([cohort])
    (axes,) = epoch_figures.draw_statistics(cohort, group).axes
    assert axes.get_title() == 'macro_recall'
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.5, 0.7], [0.6, 0.8]]
