# Copyright (c) mmdckd contributors. All rights reserved.
"""Class correlations and agreement as heat maps.

All functions take what
:meth:`mmdckd.evaluation.CohortSums.arrays` returns, with ``classes``.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mmdckd.names import ENSEMBLE, STUDENT, TARGET, TEACHER, of_role

from .style import DIVERGING, MOST_MEMBERS, SEQUENTIAL, SMALL, grid, new_figure

#: Up to so many classes a map shows all; of more, those that are most alike.
#: Up to so many have their names beside the map, with room to read them.
ALL_CLASSES, SOME_CLASSES, NAMED_CLASSES = 100, 16, 16
#: Names of classes are cut after so many characters.
LONGEST_NAME = 16


def draw_correlations(
    arrays: Dict[str, np.ndarray], largest: Optional[float] = None
) -> Figure:
    """Draw the class correlation of every member.

    Row by row, the mean softened prediction for images of a class. The
    diagonal, how much the class itself gets, is left out, its mean stands
    above; so the colors are for what one class has of another.

    Args:
        arrays (Dict[str, ndarray]): The statistics.
        largest (float, optional): The end of the scale of colors. Defaults
            to None, :func:`largest_correlation`.
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
    return figure


def draw_differences(
    arrays: Dict[str, np.ndarray], reference: str, largest: Optional[float] = None
) -> Figure:
    """Draw what the class correlations have more or less than another's.

    Args:
        arrays (Dict[str, ndarray]): The statistics.
        reference (str): The member that is subtracted.
        largest (float, optional): The end of the scale of colors. Defaults
            to None, :func:`largest_difference`.
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
    return figure


def draw_agreement(arrays: Dict[str, np.ndarray]) -> Figure:
    """Draw the share of images for which two members have the same top-1."""
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
    """The teachers, what is collected, the ensemble, the students; of many
    the first ones."""
    members = list(arrays['members'])
    order = (TEACHER, TARGET, ENSEMBLE, STUDENT)
    return [name for role in order for name in of_role(members, role)][:MOST_MEMBERS]


def _grid(count: int, arrays: Dict[str, np.ndarray]) -> Tuple[Figure, Sequence[Axes]]:
    """Places for maps: fewer side by side where names of classes take room."""
    columns = 3 if max(map(len, _labels(arrays))) <= 3 else 2
    return grid(count, columns, 6.6 / columns, 7.4 / columns, extra=0.7)


def _labels(arrays: Dict[str, np.ndarray]) -> List[str]:
    """The names of the classes that a map shows, those of many classes cut."""
    return [
        name if len(name) <= LONGEST_NAME else f'{name[: LONGEST_NAME - 1]}…'
        for name in arrays['classes'][shown_classes(arrays)]
    ]


def _index(arrays: Dict[str, np.ndarray], name: str) -> int:
    return list(arrays['members']).index(name)


def shown_classes(arrays: Dict[str, np.ndarray]) -> np.ndarray:
    """The indices of the classes that a map shows: all, or of many those
    that members hold to be most like others, in their order."""
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
    """The largest of what :func:`draw_correlations` draws."""
    matrices = _matrices(arrays, list(arrays['members']))
    return max(np.nanmax(_others(matrix)) for matrix in matrices.values())


def largest_difference(arrays: Dict[str, np.ndarray], reference: str) -> float:
    """The largest of what :func:`draw_differences` draws."""
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
    """Without the diagonal."""
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
    # A dollar in a name is a dollar.
    style: Dict[str, Any] = dict(fontsize=SMALL, parse_math=False)
    axes.set_yticks(range(len(labels)), labels, **style)
    # Long names stand once: the columns are in the order of the rows.
    short = max(map(len, labels)) <= 2
    axes.set_xticks(range(len(labels)) if short else [])
    if short:
        axes.set_xticklabels(labels, **style)
    axes.tick_params(length=0)
    return image


def _label(figure: Figure, arrays: Dict[str, np.ndarray]) -> None:
    labels = _labels(arrays)
    unit = 'number of the class' if len(labels) > NAMED_CLASSES else 'class'
    same = '' if max(map(len, labels)) <= 2 else ', in the same order'
    figure.supxlabel(f'{unit} that is given probability{same}', fontsize=SMALL)
    figure.supylabel(f'{unit} of the images', fontsize=SMALL)
