# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw class correlations and agreement as heat maps.

All functions take the result of :meth:`mmdckd.evaluation.CohortSums.arrays`,
with ``classes``.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mmdckd.names import ENSEMBLE, STUDENT, TARGET, TEACHER, of_role

from .style import DIVERGING, MOST_MEMBERS, SEQUENTIAL, SMALL, grid, new_figure

#: A map shows up to ALL_CLASSES classes, or else the SOME_CLASSES most similar
#: ones. Up to NAMED_CLASSES have their names beside the map.
ALL_CLASSES, SOME_CLASSES, NAMED_CLASSES = 100, 16, 16
#: The height of a class with its name beside a map, in inches.
_NAMED_HEIGHT = 0.15
#: The space between two rows of maps, and that for a label below them, in inches.
_BETWEEN_ROWS, _BELOW_ROWS = 0.25, 0.3
#: The longest name of a class, in characters; longer ones are cut.
LONGEST_NAME = 16


def draw_correlations(
    arrays: Dict[str, np.ndarray], largest: Optional[float] = None
) -> Figure:
    """Draw the class correlation of every member.

    A row is the mean softened prediction for images of a class. The diagonal,
    the probability of the class itself, is left out so that the colors show the
    other classes; its mean is in the title.

    Args:
        arrays (Dict[str, ndarray]): The statistics.
        largest (float, optional): The upper end of the color scale. Defaults to
            None: :func:`largest_correlation`.
    """
    names = _ordered(arrays)
    matrices = _matrices(arrays, names)
    largest = largest or largest_correlation(arrays)
    figure, panels = _grid(len(names), arrays)
    for axes, name in zip(panels, names):
        whole = arrays['correlation'][_index(arrays, name)]
        own = np.nanmean(whole.diagonal())
        image = _draw_map(
            axes,
            _others(matrices[name]),
            Normalize(0, largest),
            SEQUENTIAL,
            arrays,
            f'{name}\nown class {own:.2f}',
        )
    bar = figure.colorbar(image, ax=panels, shrink=0.9, aspect=30)
    bar.set_label(f'mean probability, τ = {arrays["tau"]:g}', fontsize=SMALL)
    _label(figure, arrays)
    _fit(figure, panels, arrays)
    return figure


def draw_differences(
    arrays: Dict[str, np.ndarray], reference: str, largest: Optional[float] = None
) -> Figure:
    """Draw the differences between class correlations and those of a reference.

    Args:
        arrays (Dict[str, ndarray]): The statistics.
        reference (str): The member that is subtracted.
        largest (float, optional): The upper end of the color scale. Defaults to
            None: :func:`largest_difference`.
    """
    names = [name for name in _ordered(arrays) if name != reference]
    differences = _differences(arrays, reference)
    largest = largest or largest_difference(arrays, reference)
    figure, panels = _grid(len(names), arrays)
    for axes, name in zip(panels, names):
        image = _draw_map(
            axes,
            differences[name],
            Normalize(-largest, largest),
            DIVERGING,
            arrays,
            f'{name}\n− {reference}',
        )
    bar = figure.colorbar(image, ax=panels, shrink=0.9, aspect=30)
    bar.set_label('difference', fontsize=SMALL)
    _label(figure, arrays)
    _fit(figure, panels, arrays)
    return figure


def draw_agreement(arrays: Dict[str, np.ndarray]) -> Figure:
    """Draw the share of images with the same top-1 prediction of two members."""
    agreement = 100 * arrays['agreement'][:MOST_MEMBERS, :MOST_MEMBERS]
    names = list(arrays['members'][: len(agreement)])
    size = 1.6 + 0.42 * len(names)
    figure = new_figure(size + 0.5, size)
    figure.set_layout_engine('compressed')  # for axes that stay square
    axes = figure.subplots()
    lowest = agreement.min()
    image = axes.imshow(agreement, cmap=SEQUENTIAL, vmin=lowest, vmax=100)
    for (row, column), value in np.ndenumerate(agreement):
        if row != column:
            dark = value < (lowest + 100) / 2
            axes.text(
                column,
                row,
                f'{value:.1f}',
                ha='center',
                va='center',
                fontsize=SMALL,
                color='white' if dark else 'black',
            )
    axes.set_xticks(range(len(names)), names, rotation=45, ha='right', fontsize=SMALL)
    axes.set_yticks(range(len(names)), names, fontsize=SMALL)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, shrink=0.8, aspect=30, label='same top-1 (%)')
    return figure


def _ordered(arrays: Dict[str, np.ndarray]) -> List[str]:
    """Order the members: teachers, targets, ensemble, students; only the first
    ones if there are many."""
    members = list(arrays['members'])
    order = (TEACHER, TARGET, ENSEMBLE, STUDENT)
    return [name for role in order for name in of_role(members, role)][:MOST_MEMBERS]


def _grid(count: int, arrays: Dict[str, np.ndarray]) -> Tuple[Figure, Sequence[Axes]]:
    """Create panels for maps, fewer in a row if names of classes need space."""
    columns = 3 if max(map(len, _labels(arrays))) <= 3 else 2
    return grid(count, columns, 6.6 / columns, 7.4 / columns, extra=0.7)


def _labels(arrays: Dict[str, np.ndarray]) -> List[str]:
    """Return the names of the classes that a map shows, shortened if needed."""
    return [
        name if len(name) <= LONGEST_NAME else f'{name[: LONGEST_NAME - 1]}…'
        for name in arrays['classes'][shown_classes(arrays)]
    ]


def _index(arrays: Dict[str, np.ndarray], name: str) -> int:
    return list(arrays['members']).index(name)


def shown_classes(arrays: Dict[str, np.ndarray]) -> np.ndarray:
    """Return the indices of the classes that a map shows: all, or, if there are
    many, those that members consider most similar to others, in order."""
    correlation = arrays['correlation']
    if correlation.shape[-1] <= ALL_CLASSES:
        return np.arange(correlation.shape[-1])
    mean = np.nan_to_num(correlation).mean(0)
    others = np.nan_to_num(_others(mean))
    alike = (others + others.T).max(1)
    return np.sort(np.argsort(-alike, kind='stable')[:SOME_CLASSES])


def _matrices(
    arrays: Dict[str, np.ndarray], names: Sequence[str]
) -> Dict[str, np.ndarray]:
    shown = shown_classes(arrays)
    return {
        name: arrays['correlation'][_index(arrays, name)][np.ix_(shown, shown)]
        for name in names
    }


def largest_correlation(arrays: Dict[str, np.ndarray]) -> float:
    """Return the largest value that :func:`draw_correlations` draws."""
    matrices = _matrices(arrays, list(arrays['members']))
    return max(np.nanmax(_others(matrix)) for matrix in matrices.values())


def largest_difference(arrays: Dict[str, np.ndarray], reference: str) -> float:
    """Return the largest value that :func:`draw_differences` draws."""
    differences = _differences(arrays, reference)
    return max(np.nanmax(abs(each)) for each in differences.values())


def _differences(
    arrays: Dict[str, np.ndarray], reference: str
) -> Dict[str, np.ndarray]:
    matrices = _matrices(arrays, list(arrays['members']))
    return {
        name: _others(matrix - matrices[reference])
        for name, matrix in matrices.items()
        if name != reference
    }


def _others(matrix: np.ndarray) -> np.ndarray:
    """Replace the diagonal by NaN."""
    matrix = matrix.copy()
    np.fill_diagonal(matrix, np.nan)
    return matrix


def _draw_map(
    axes: Axes,
    matrix: np.ndarray,
    norm: Normalize,
    colors: str,
    arrays: Dict[str, np.ndarray],
    title: str,
):
    image = axes.imshow(matrix, cmap=colors, norm=norm, interpolation='none')
    axes.set_facecolor('0.85')
    axes.set_title(title, fontsize=10)
    axes.spines[:].set_visible(False)
    labels = _labels(arrays)
    if len(labels) > NAMED_CLASSES:
        axes.tick_params(labelsize=SMALL)
        return image
    # A dollar sign in a name must not start math text.
    style: Dict[str, Any] = dict(fontsize=SMALL, parse_math=False)
    axes.set_yticks(range(len(labels)), labels, **style)
    # Long names are only beside the rows; the columns have the same order.
    short = max(map(len, labels)) <= 2
    axes.set_xticks(range(len(labels)) if short else [])
    if short:
        axes.set_xticklabels(labels, **style)
    axes.tick_params(length=0)
    return image


def _label(figure: Figure, arrays: Dict[str, np.ndarray]) -> None:
    labels = _labels(arrays)
    unit = 'class index' if len(labels) > NAMED_CLASSES else 'class'
    same = '' if max(map(len, labels)) <= 2 else ', in the same order'
    figure.supxlabel(f'predicted {unit}{same}', fontsize=SMALL)
    figure.supylabel(f'true {unit}', fontsize=SMALL)


def _fit(figure: Figure, panels: Sequence[Axes], arrays: Dict[str, np.ndarray]) -> None:
    """Fit the size of a figure to its square maps, and these to the names of the
    classes beside them."""
    figure.draw_without_rendering()  # to know the size of the maps
    inches = figure.dpi_scale_trans.inverted()
    map_box = panels[0].get_window_extent().transformed(inches)
    whole = panels[0].get_tightbbox()
    assert whole is not None
    titles = whole.transformed(inches).height - map_box.height
    count = len(_labels(arrays))
    lacking = 0.0
    if count <= NAMED_CLASSES:
        lacking = max(0.0, count * _NAMED_HEIGHT - map_box.height)
    grid_of = panels[0].get_gridspec()
    assert grid_of is not None
    width, height = figure.get_size_inches()
    row = map_box.height + lacking + titles + _BETWEEN_ROWS
    figure.set_size_inches(
        width + grid_of.ncols * lacking,
        min(height + grid_of.nrows * lacking, grid_of.nrows * row + _BELOW_ROWS),
    )
