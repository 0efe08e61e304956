# Copyright (c) mmdckd contributors. All rights reserved.
"""What is drawn, read back from the figures."""

import numpy as np
import pytest

from helpers.cohort_arrays import cohort_arrays
from mmdckd.visualization import matrix_figures
from mmdckd.visualization.style import to_image


def maps(figure):
    """Title to what is shown, nan where nothing is."""
    return {
        axes.get_title().split('\n')[0]: np.ma.filled(
            axes.images[0].get_array(), np.nan
        )
        for axes in figure.axes
        if axes.images
    }


def without_diagonal(matrix):
    matrix = matrix.copy()
    np.fill_diagonal(matrix, np.nan)
    return matrix


@pytest.mark.parametrize(
    'students, teacher', [(1, False), (1, True), (2, True), (8, True)]
)
def test_correlations_are_those_of_every_member(students, teacher):
    arrays = cohort_arrays(students=students, teacher=teacher)
    figure = matrix_figures.draw_correlations(arrays)
    drawn = maps(figure)
    assert set(drawn) == set(arrays['members'])
    for name, matrix in zip(arrays['members'], arrays['correlation']):
        np.testing.assert_array_equal(drawn[name], without_diagonal(matrix))
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.images}
    assert limits == {(0, matrix_figures.largest_correlation(arrays))}
    assert len(np.unique(to_image(figure))) > 100


def test_teacher_and_target_come_first():
    drawn = maps(matrix_figures.draw_correlations(cohort_arrays()))
    assert list(drawn) == ['teacher', 'target', 'ensemble', 'student0', 'student1']


@pytest.mark.parametrize('reference', ['teacher', 'target'])
def test_differences_are_to_the_reference(reference):
    arrays = cohort_arrays()
    figure = matrix_figures.draw_differences(arrays, reference)
    matrices = dict(zip(arrays['members'], arrays['correlation']))
    drawn = maps(figure)
    assert set(drawn) == set(arrays['members']) - {reference}
    for name, matrix in drawn.items():
        np.testing.assert_array_equal(
            matrix, without_diagonal(matrices[name] - matrices[reference])
        )
    for axes in figure.axes:
        if axes.images:
            low, high = axes.images[0].get_clim()
            assert low == -high < 0


def test_of_many_classes_those_that_are_most_alike_are_shown():
    arrays = cohort_arrays(num_classes=120, count=2000)
    # Two classes that everybody holds to be alike.
    arrays['correlation'][:, 7, 90] = 0.4
    shown = matrix_figures.shown_classes(arrays)
    assert len(shown) == matrix_figures.SOME_CLASSES
    assert {7, 90} <= set(shown) and list(shown) == sorted(shown)
    figure = matrix_figures.draw_correlations(arrays)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(
        arrays['classes'][shown]
    )
    assert maps(figure)['teacher'].shape == (16, 16)


def test_any_name_of_a_class_is_shown():
    arrays = cohort_arrays()
    arrays['classes'] = np.array(['a$b$', '$', 'tench, Tinca tinca, a fish', '_', 'é'])
    figure = matrix_figures.draw_correlations(arrays)
    to_image(figure)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        'a$b$',
        '$',
        'tench, Tinca ti…',
        '_',
        'é',
    ]


@pytest.mark.parametrize('students, teacher', [(1, False), (2, True)])
@pytest.mark.parametrize('name', ['{}', 'a long name, {} of 16'])
def test_names_of_classes_do_not_overlap(name, students, teacher):
    count = matrix_figures.NAMED_CLASSES
    arrays = cohort_arrays(num_classes=count, students=students, teacher=teacher)
    arrays['classes'] = np.array([name.format(i) for i in range(count)])
    figure = matrix_figures.draw_correlations(arrays)
    to_image(figure)
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == count
    boxes = [label.get_window_extent() for label in labels]
    assert all(above.y0 > below.y1 for above, below in zip(boxes, boxes[1:]))


def test_a_class_without_images_is_no_fault():
    arrays = cohort_arrays()
    arrays['correlation'][:, 2] = np.nan
    for figure in (
        matrix_figures.draw_correlations(arrays),
        matrix_figures.draw_differences(arrays, 'teacher'),
    ):
        assert to_image(figure).ndim == 3


def test_agreement_is_written_into_its_map():
    arrays = cohort_arrays()
    arrays['agreement'][0, 1] = arrays['agreement'][1, 0] = 0.99
    axes = matrix_figures.draw_agreement(arrays).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(written) == 12
    for (row, column), value in np.ndenumerate(arrays['agreement']):
        if row != column:
            assert written[column, row] == f'{100 * value:.1f}'
    labels = [
        [label.get_text() for label in of_axis]
        for of_axis in (axes.get_xticklabels(), axes.get_yticklabels())
    ]
    assert labels == [list(arrays['members'][:4])] * 2  # no targets
    # Legible: white where the map is dark.
    values = [float(text.get_text()) for text in axes.texts]
    middle = (100 * arrays['agreement'].min() + 100) / 2
    colors = [text.get_color() for text in axes.texts]
    assert colors == ['white' if value < middle else 'black' for value in values]
    assert len(set(colors)) == 2


@pytest.fixture
def unfitted(monkeypatch):
    """Figures of any size, as fitting them takes most of the time."""
    monkeypatch.setattr(matrix_figures, '_fit', lambda *args: None)


def test_what_is_written_beside_the_maps(unfitted):
    arrays = dict(cohort_arrays(), tau=np.array(2.5))
    figure = matrix_figures.draw_correlations(arrays, largest=0.5)
    for axes, name in zip(figure.axes, drawn := maps(figure)):
        index = list(arrays['members']).index(name)
        own = arrays['correlation'][index].diagonal().mean()
        assert axes.get_title() == f'{name}\nown class {own:.2f}'
        assert axes.images[0].get_clim() == (0, 0.5)
    assert len(drawn) == 5
    assert figure.axes[-1].get_ylabel() == 'mean probability, τ = 2.5'
    assert figure.get_supxlabel() == 'predicted class'
    assert figure.get_supylabel() == 'true class'


def test_differences_have_one_scale(unfitted):
    arrays = cohort_arrays()
    # The largest difference is a negative one.
    arrays['correlation'][:, 1, 2] = 0.0
    arrays['correlation'][list(arrays['members']).index('teacher'), 1, 2] = 0.9
    for largest, limit in ((None, 0.9), (0.25, 0.25)):
        figure = matrix_figures.draw_differences(arrays, 'teacher', largest)
        for axes, name in zip(figure.axes, maps(figure)):
            assert axes.get_title() == f'{name}\n− teacher'
            assert axes.images[0].get_clim() == pytest.approx((-limit, limit))


def test_of_many_members_the_first_are_drawn():
    arrays = cohort_arrays(students=14)
    drawn = matrix_figures._ordered(arrays)
    assert drawn[:4] == ['teacher', 'target', 'ensemble', 'student0']
    assert len(drawn) == 12
    axes = matrix_figures.draw_agreement(arrays).axes[0]
    assert axes.images[0].get_array().shape == (12, 12)
    assert len(axes.get_xticklabels()) == len(axes.get_yticklabels()) == 12
