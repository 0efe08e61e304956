# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
from benchmark_runs import record
from PIL import Image

from mmdckd.benchmark.lines import Line
from mmdckd.benchmark.plots import (draw_accuracy, draw_cost, draw_plots,
                                    draw_students)
from mmdckd.benchmark.spec import Method, Recipe

TOP1 = 'accuracy/top1'


def make_line(name, values, num_students=1, group='', pair='', **changes):
    names = [f'student{i}' for i in range(num_students)]
    return Line(
        Method(name, pair, Recipe(('c.py', ), {}), None, 'mean', group), TOP1,
        {
            seed:
            record(name, seed, {f'{n}/{TOP1}': value
                                for n in names}, names, **changes)
            for seed, value in enumerate(values)
        })


def points(axes):
    """The centres of the error bars."""
    return {
        bars.get_label(): list(zip(*bars[0].get_data()))
        for bars in axes.containers
    }


def test_accuracy_shows_seeds_mean_and_interval():
    figure = draw_accuracy(
        [make_line('kd', [70., 71., 72.]),
         make_line('dckd', [75.])])
    axes, = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ['kd', 'dckd']
    kd, dckd = axes.containers
    assert list(kd[0].get_xdata()) == [71.] and list(
        dckd[0].get_xdata()) == [75.]
    # Half an interval of 70, 71, 72 is 4.302653 / sqrt(3).
    (left, _), (right, _) = kd[2][0].get_segments()[0]
    assert (left, right) == pytest.approx((71 - 2.48414, 71 + 2.48414))
    seeds = [line for line in axes.lines if line.get_marker() == '.']
    assert list(seeds[0].get_xdata()) == [70., 71., 72.]


def test_students_joins_the_methods_of_a_group():
    lines = [
        make_line('n4', [74., 76.], 4, 'dckd'),
        make_line('n2', [72., 74.], 2, 'dckd'),
        make_line('kd', [70., 71.]),
        make_line('a', [1., 2.], 2, 'alpha'),
        make_line('b', [1., 2.], 2, 'alpha')
    ]
    axes, = draw_students(lines).axes
    assert points(axes) == dict(dckd=[(2, 73.), (4, 75.)])
    assert draw_students(lines[2:]) is None


def test_cost_shows_operations_and_seconds():
    lines = [
        make_line('n2', [73.], 2, 'dckd', train_flops=4 * 10**12),
        make_line('n1', [71.], 1, 'dckd', train_flops=2 * 10**12),
        make_line('kd', [70.], train_flops=3 * 10**12, train_seconds=None)
    ]
    operations, seconds = draw_cost(lines).axes
    assert points(operations) == dict(
        dckd=[(2., 71.), (4., 73.)], kd=[(3., 70.)])
    assert points(seconds) == dict(dckd=[(10., 73.), (10., 71.)])
    assert len(draw_cost(lines[2:]).axes) == 1


def test_a_method_has_one_colour_in_all_panels_of_costs():
    figure = draw_cost([
        make_line('kd', [70.], train_flops=10**12, train_seconds=None),
        make_line('dkd', [71.], train_flops=10**12)
    ])
    (kd, dkd), (also_dkd, ) = (axes.containers for axes in figure.axes)
    assert also_dkd[0].get_color() == dkd[0].get_color() != kd[0].get_color()
    legend, = figure.legends
    assert [text.get_text() for text in legend.texts] == ['kd', 'dkd']


def test_every_pair_has_its_files(tmp_path):
    drawn = draw_plots([
        make_line('kd', [1., 2.], pair='a/b'),
        make_line('kd', [1., 2.], pair='c'),
    ], str(tmp_path))
    assert [name for _, name in drawn] == [
        'accuracy_a_b.png', 'cost_a_b.png', 'accuracy_c.png', 'cost_c.png'
    ]
    assert drawn[0][0] == 'a/b: accuracy/top1 by method'
    for _, name in drawn:
        assert np.asarray(Image.open(tmp_path / name)).std() > 0
