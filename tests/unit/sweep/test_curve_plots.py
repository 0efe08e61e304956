# Copyright (c) mmdckd contributors. All rights reserved.
from helpers.sweeps import curves, record
from mmdckd.sweep.curve_plots import draw_curves
from mmdckd.sweep.lines import Line
from mmdckd.sweep.spec import Method, Recipe

TOP1 = 'accuracy/top1'


def make_line(name, group='', **columns):
    kept = curves([2, 4], **columns) if columns else {}
    return Line(
        Method(name, '', Recipe(('c.py',), ()), None, 'mean', group),
        TOP1,
        {0: record(name, 0, {}, ['student0'], curves=kept)},
    )


def test_every_statistic_that_there_is_has_a_panel():
    figure = draw_curves(
        [
            make_line(
                'kd', student0__accuracy__top1=[60.0, 70.0], student0__ece=[0.2, 0.1]
            ),
            make_line('dckd', student0__accuracy__top1=[65.0, 72.0]),
            make_line('tau = 2', 'tau', student0__nll=[2.0, 1.0]),
        ]
    )
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert set(panels) == {TOP1, 'ECE', ''}
    drawn = [list(line.get_ydata()) for line in panels[TOP1].lines]
    assert drawn == [[60.0, 70.0], [65.0, 72.0]]
    assert list(panels['ECE'].lines[0].get_xdata()) == [2, 4]
    (legend,) = filter(None, [axes.get_legend() for axes in figure.axes])
    assert [text.get_text() for text in legend.get_texts()] == ['kd', 'dckd']


def test_without_curves_there_is_no_plot():
    assert draw_curves([make_line('kd')]) is None
