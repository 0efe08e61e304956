# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from mmdckd.visualization.style import (
    FEWEST_IMAGES,
    draw_line,
    legend_below,
    new_figure,
)


@pytest.mark.parametrize(
    'steps, images, style',
    [
        (3, None, '-'),
        (3, FEWEST_IMAGES, '-'),
        (3, FEWEST_IMAGES - 1, 'None'),
        (1, None, 'None'),
    ],
)
def test_a_rate_of_few_images_or_one_step_is_no_line(steps, images, style):
    axes = new_figure(2, 2).subplots()
    steps = list(range(steps))
    line = draw_line(axes, steps, steps, 'student0', ['student0'], images)
    assert line.get_linestyle() == style
    if style == 'None':  # then each value has a mark
        assert line.get_marker() != 'None' and line.get_markevery() is None


def test_of_many_lines_the_legend_names_the_first():
    figure = new_figure(2, 2)
    axes = figure.subplots()
    lines = {f'line {i}': axes.plot([0], [i])[0] for i in range(27)}
    legend_below(figure, lines)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [*list(lines)[:24], 'and 3 more']
