# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
from PIL import Image

from helpers.sweeps import record
from mmdckd.sweep.lines import Line
from mmdckd.sweep.plots import (
    draw_accuracy,
    draw_cost,
    draw_map,
    draw_plots,
    draw_students,
)
from mmdckd.sweep.spec import Method, Recipe

TOP1 = 'accuracy/top1'


def make_line(name, values, num_students=1, group='', pair='', **changes):
    names = [f'student{i}' for i in range(num_students)]
    return Line(
        Method(name, pair, Recipe(('c.py',), ()), None, 'mean', group),
        TOP1,
        {
            seed: record(
                name, seed, {f'{n}/{TOP1}': value for n in names}, names, **changes
            )
            for seed, value in enumerate(values)
        },
    )


def points(axes):
    """The centers of the error bars."""
    return {
        bars.get_label(): list(zip(*bars[0].get_data())) for bars in axes.containers
    }


def test_accuracy_shows_seeds_mean_and_interval():
    figure = draw_accuracy(
        [make_line('kd', [70.0, 71.0, 72.0]), make_line('dckd', [75.0])]
    )
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ['kd', 'dckd']
    kd, dckd = axes.containers
    assert list(kd[0].get_xdata()) == [71.0] and list(dckd[0].get_xdata()) == [75.0]
    # Half an interval of 70, 71, 72 is 4.302653 / sqrt(3).
    (left, _), (right, _) = kd[2][0].get_segments()[0]
    assert (left, right) == pytest.approx((71 - 2.48414, 71 + 2.48414))
    seeds = [line for line in axes.lines if line.get_marker() == '.']
    assert list(seeds[0].get_xdata()) == [70.0, 71.0, 72.0]
    assert axes.get_xlabel() == 'accuracy/top1, mean and 95 % interval'


def test_a_single_run_has_no_interval():
    lines = [
        make_line(f'kd x{units}', [70.0], group='kd', train_flops=units * 10**12)
        for units in (1, 2)
    ]
    (accuracy,), (cost, _) = draw_accuracy(lines).axes, draw_cost(lines).axes
    for axes in (accuracy, cost):
        for _, caps, bars in axes.containers:
            ends = [cap.get_xydata() for cap in caps]
            ends += [end for bar in bars for end in bar.get_segments()]
            assert (
                np.isnan(np.concatenate([np.reshape(e, (-1, 2)) for e in ends]))
                .any(axis=1)
                .all()
            )
    assert accuracy.get_xlabel() == cost.get_ylabel() == 'accuracy/top1, one run each'


def test_students_joins_the_methods_of_a_group():
    lines = [
        make_line('n4', [74.0, 76.0], 4, 'dckd'),
        make_line('n2', [72.0, 74.0], 2, 'dckd'),
        make_line('kd', [70.0, 71.0]),
        make_line('a', [1.0, 2.0], 2, 'alpha'),
        make_line('b', [1.0, 2.0], 2, 'alpha'),
    ]
    (axes,) = draw_students(lines).axes
    assert points(axes) == dict(dckd=[(2, 73.0), (4, 75.0)])
    assert draw_students(lines[2:]) is None


def test_cost_shows_operations_and_seconds():
    lines = [
        make_line('n2', [73.0], 2, 'dckd', train_flops=4 * 10**12),
        make_line('n1', [71.0], 1, 'dckd', train_flops=2 * 10**12),
        make_line('kd', [70.0], train_flops=3 * 10**12, train_seconds=None),
    ]
    operations, seconds = draw_cost(lines).axes
    assert points(operations) == dict(dckd=[(2.0, 71.0), (4.0, 73.0)], kd=[(3.0, 70.0)])
    assert points(seconds) == dict(dckd=[(10.0, 73.0), (10.0, 71.0)])
    assert len(draw_cost(lines[2:]).axes) == 1


def test_a_method_has_one_color_in_all_panels_of_costs():
    figure = draw_cost(
        [
            make_line('kd', [70.0], train_flops=10**12, train_seconds=None),
            make_line('dkd', [71.0], train_flops=10**12),
        ]
    )
    (kd, dkd), (also_dkd,) = (axes.containers for axes in figure.axes)
    assert also_dkd[0].get_color() == dkd[0].get_color() != kd[0].get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ['kd', 'dkd']


def test_methods_are_distinct_without_their_colors():
    figure = draw_cost([make_line(f'm{i}', [70.0], train_flops=10) for i in range(6)])
    lines = [bars[0] for bars in figure.axes[0].containers]
    assert len({line.get_marker() for line in lines}) == 6
    assert len({line.get_color() for line in lines}) == 6


def test_four_pairs_are_a_square():
    line = make_line('kd x1', [70.0], group='kd', train_flops=10)
    figure = draw_map({pair: [line] for pair in 'abcd'})
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 2)


def test_the_map_has_a_panel_for_each_pair():
    pairs = {
        'few': [
            make_line('kd x1', [70.0], group='kd', train_flops=10**12),
            make_line('kd x2', [71.0], group='kd', train_flops=2 * 10**12),
            make_line('dckd x4', [72.0], group='dckd', train_flops=4 * 10**12),
        ],
        'many': [make_line('dckd x4', [82.0], group='dckd', train_flops=10**13)],
    }
    figure = draw_map(pairs)
    few, many = figure.axes
    assert points(few) == dict(kd=[(1.0, 70.0), (2.0, 71.0)], dckd=[(4.0, 72.0)])
    assert points(many) == dict(dckd=[(10.0, 82.0)])
    assert few.containers[1][0].get_color() == many.containers[0][0].get_color()
    assert [axes.get_title() for axes in figure.axes] == ['few', 'many']
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ['kd', 'dckd']
    assert draw_map({'few': pairs['few']}) is None
    assert (
        draw_map({'a': [make_line('kd', [1.0])], 'b': [make_line('kd', [1.0])]}) is None
    )


def test_the_map_is_a_file(tmp_path):
    lines = [
        make_line('kd', [70.0], group='kd', pair=pair, train_flops=10**12)
        for pair in 'ab'
    ]
    assert ('accuracy/top1 by cost of the training', 'cost.png') in draw_plots(
        lines, str(tmp_path)
    )
    assert np.asarray(Image.open(tmp_path / 'cost.png')).std() > 0


def test_pairs_that_differ_in_punctuation_have_their_own_files(tmp_path):
    lines = [make_line('kd', [1.0, 2.0], pair=pair) for pair in ('a+b', 'a*b')]
    names = [name for _, name in draw_plots(lines, str(tmp_path))]
    assert len(names) == len(set(names)) == len(list(tmp_path.iterdir()))
    assert 'accuracy_a_b.png' in names and 'accuracy_a_b-2.png' in names


def test_every_pair_has_its_files(tmp_path):
    drawn = draw_plots(
        [
            make_line('kd', [1.0, 2.0], pair='a/b'),
            make_line('kd', [1.0, 2.0], pair='c'),
        ],
        str(tmp_path),
    )
    assert [name for _, name in drawn] == [
        'accuracy_a_b.png',
        'cost_a_b.png',
        'accuracy_c.png',
        'cost_c.png',
    ]
    assert drawn[0][0] == 'a/b: accuracy/top1 by method'
    for _, name in drawn:
        assert np.asarray(Image.open(tmp_path / name)).std() > 0


def test_plots_show_names_as_they_are(tmp_path):
    """Also a formula that is none, and names that Matplotlib takes for hidden."""
    lines = [
        make_line(name, [70.0, 71.0], pair='$\\bad{$', group=group)
        for name, group in (('_kd', ''), ('$\\worse{$', '_kd x'))
    ]
    assert len(draw_plots(lines, str(tmp_path))) == 2
    labels = [text.get_text() for text in draw_cost(lines).legends[0].get_texts()]
    assert sorted(labels) == [' _kd', ' _kd x']


def test_a_method_does_not_hide_the_group_of_its_name():
    lines = [
        make_line(name, [value], group=group, train_flops=units * 10**12)
        for units, (name, value, group) in enumerate(
            [('kd', 70.0, ''), ('kd x2', 72.0, 'kd'), ('kd x4', 74.0, 'kd')], start=1
        )
    ]
    assert points(draw_cost(lines).axes[0]) == {
        'kd': [(1.0, 70.0), (2.0, 72.0), (3.0, 74.0)]
    }
