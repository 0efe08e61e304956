# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw the figures of runs by section."""

from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mmdckd.errors import shorten
from mmdckd.names import ENSEMBLE, TARGET, TEACHER, of_role
from mmdckd.visualization.matrix_figures import (
    ALL_CLASSES,
    SOME_CLASSES,
    draw_agreement,
    draw_correlations,
    draw_differences,
    largest_correlation,
    largest_difference,
)
from mmdckd.visualization.style import FEWEST_IMAGES, MOST_MEMBERS

from . import epoch_figures
from .accuracy_figure import accuracy_figure
from .measures import title_of, written
from .panels import Room, room_for
from .recorded_run import RecordedRun
from .reliability_figure import draw_reliability

Rooms = Dict[str, Room]


class Drawn(NamedTuple):
    """A figure of one run.

    Attributes:
        key (str): Its name in file names, which begins with the key of its
            section.
        alt (str): Its alternative text.
        figure (Figure): The figure.
    """

    key: str
    alt: str
    figure: Figure


@dataclass
class Section:
    """A section of figures, with a column for each run.

    Attributes:
        key (str): Its anchor.
        title (str): Its title.
        text (str): An explanation.
        drawn (List[List[Drawn]]): The figures of each run.
    """

    key: str
    title: str
    text: str
    drawn: List[List[Drawn]] = field(default_factory=list)


#: Key to title and text, in the order of the page.
SECTIONS = dict(
    accuracy=(
        'By {unit}',
        'The validation result of every member. The ring marks the best one: the same '
        'student and {unit} as above, in the table and in best.pth.',
    ),
    losses=(
        'Losses',
        "One line per student; task is the student's own loss, the others are the "
        'distillation losses, weights included.',
    ),
    weights=(
        'Weights of the losses',
        'The factors of the terms of the collective loss, with their ramps, from the '
        'config; the legend shows the last value.',
    ),
    entropy=(
        'Entropy',
        'How widely a prediction spreads over the classes, mean over the validation '
        'split. On the right, softened by the temperature of the statistics, beside '
        "the collector's target.",
    ),
    correlation=(
        'Class correlation',
        'Row by row, the mean softened prediction for images of a class in {when}: '
        'which classes a member considers similar to it. Below, where a member '
        'predicts more (orange) or less (purple) than the teacher and than the '
        f'target. Diagonals are left out. Of more than {ALL_CLASSES} classes, the '
        f'{SOME_CLASSES} most similar ones are shown.',
    ),
    agreement=(
        'Agreement',
        'The share of images for which two members predict the same top-1 class, of '
        'all in {when}. Where the teacher is wrong, agreement with it is a mistake '
        'that was copied.',
    ),
    calibration=(
        'Calibration',
        'Accuracy by confidence in 15 bins in {when}. The gap to the diagonal is '
        'hatched; its mean over the images is the expected calibration error (ECE). '
        f'A bin of fewer than {FEWEST_IMAGES} images is drawn as a point.',
    ),
    metrics=('Other metrics', 'The other results of the evaluators.'),
)


def draw_sections(runs: Sequence[RecordedRun]) -> List[Section]:
    """Draw all figures of runs; axes and colors are the same for all runs.

    Args:
        runs (Sequence[RecordedRun]): The runs, in the order of the columns.

    Returns:
        List[Section]: The sections for which at least one run has a figure.
    """
    unit = runs[0].unit if len({run.unit for run in runs}) == 1 else 'validation'
    when = statistics_of(runs)
    sections = [
        Section(key, title.format(unit=unit), text.format(unit=unit, when=when))
        for key, (title, text) in SECTIONS.items()
    ]
    others = epoch_figures.other_metrics(runs)
    rooms, scales = _common_rooms(runs, others), _common_scales(runs)
    # A dollar sign in a name must not start math text in any figure.
    with matplotlib.rc_context({'text.parse_math': False}):
        for run in runs:
            drawn = list(_draw(run, rooms, scales, others))
            for section in sections:
                section.drawn.append(
                    [each for each in drawn if each.key.split('-')[0] == section.key]
                )
    return [section for section in sections if any(section.drawn)]


def statistics_of(runs: Sequence[RecordedRun]) -> str:
    """Describe the validation of the runs' statistics."""
    found = {run.name: run.statistics_of for run in runs if run.statistics is not None}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return '; '.join(f'{when} ({name})' for name, when in found.items())


def _draw(
    run: RecordedRun,
    rooms: Rooms,
    scales: Dict[str, float],
    others: epoch_figures.Group,
) -> Iterator[Drawn]:
    """Draw all figures of a run."""
    drawn: Dict[str, Tuple[str, Callable[[], Optional[Figure]]]] = {
        'losses': (
            f'The losses of {_list(run.students)} by iteration',
            lambda: epoch_figures.draw_losses(run),
        ),
        'weights': (
            'The weights of the terms of the collective loss over the run',
            lambda: epoch_figures.draw_weights(run),
        ),
    }
    if run.curves(run.metric):
        drawn['accuracy'] = (
            _accuracy_text(run),
            lambda: accuracy_figure(
                run.curves(run.metric),
                run.best,
                run.metric,
                run.unit,
                rooms.get(run.metric),
                run.num_images,
            ),
        )
    if run.statistics is not None:
        drawn.update(_of_arrays(run, run.statistics, scales))
    for key, title, group in (
        ('entropy', 'Entropy', epoch_figures.ENTROPY),
        (
            'correlation-epochs',
            'Distance of class correlations',
            epoch_figures.CORRELATION,
        ),
        ('agreement-epochs', 'Agreement', epoch_figures.FIDELITY),
        ('calibration-epochs', 'Calibration', epoch_figures.CALIBRATION),
        ('metrics', 'Other metrics', others),
    ):
        drawn[key] = (
            _ends_text(run, title, group),
            partial(epoch_figures.draw_statistics, run, group, rooms),
        )
    for key, (text, draw) in drawn.items():
        figure = draw()
        if figure is not None:
            yield Drawn(key, f'{run.name}: {text}.', figure)


def _of_arrays(
    run: RecordedRun, arrays: Dict[str, np.ndarray], scales: Dict[str, float]
) -> Dict[str, Tuple[str, Callable[[], Optional[Figure]]]]:
    """List the figures of the recorded statistics."""
    members = [str(name) for name in arrays['members']]
    drawn: Dict[str, Tuple[str, Callable[[], Optional[Figure]]]] = {}
    if 'correlation' in arrays:
        drawn['correlation'] = (
            f'Maps of the mean softened predictions of {_list(members)} by class',
            lambda: draw_correlations(arrays, scales['']),
        )
    for name in _references(run):
        drawn[f'correlation-less-{name}'] = (
            f'Maps of differences between class correlations and those of {name}',
            partial(draw_differences, arrays, name, scales[name]),
        )
    own = members[: len(arrays['agreement'])]
    if len(own) > 1:
        pairs = arrays['agreement'][np.triu_indices(len(own), 1)]
        drawn['agreement'] = (
            f'How often two of {_list(own)} have the same top-1: '
            f'{100 * pairs.min():.1f} to {100 * pairs.max():.1f} % of the images',
            lambda: draw_agreement(arrays),
        )
    drawn['calibration'] = (
        f'Accuracy by confidence of {_list(own)}',
        lambda: draw_reliability(arrays),
    )
    return drawn


def _list(members: Sequence[str]) -> str:
    return shorten(members, MOST_MEMBERS)


def _accuracy_text(run: RecordedRun) -> str:
    curves = run.curves(run.metric)
    shown = [name for name in curves if name in (*run.students, ENSEMBLE)]
    ends = _list(
        [
            f'{name} {written(run.metric, curves[name][max(curves[name])])}'
            for name in [*shown, *of_role(curves, TEACHER)]
        ]
    )
    text = f'{title_of(run.metric)} by {run.unit}, at the end {ends}'
    if run.best is not None:
        text += (
            f'; best is {run.best.student} in {run.unit} {run.best.step} with '
            f'{written(run.metric, run.best.value)}'
        )
    return text


def _ends_text(run: RecordedRun, title: str, group: epoch_figures.Group) -> str:
    """Describe the students' last values of each statistic."""
    parts = []
    for key, (_, unit, factor) in group.items():
        curves = run.curves(key)
        ends = [
            factor * curves[name][max(curves[name])]
            for name in run.students
            if name in curves
        ]
        if ends:
            parts.append(
                f'{key} {min(ends):.3g} to {max(ends):.3g} {unit}'.strip()
                if len(ends) > 1
                else f'{key} {ends[0]:.3g} {unit}'.strip()
            )
    text = f'{title} by {run.unit}'
    return f'{text}; the students end with {_list(parts)}' if parts else text


def _common_rooms(runs: Sequence[RecordedRun], others: epoch_figures.Group) -> Rooms:
    """Choose the same axes for all runs, so that they can be compared."""
    rooms = {}
    groups = (
        epoch_figures.ENTROPY,
        epoch_figures.CORRELATION,
        epoch_figures.FIDELITY,
        epoch_figures.CALIBRATION,
        others,
        dict.fromkeys(run.metric for run in runs),
    )
    for key in (key for group in groups for key in group):
        room = room_for(
            value
            for run in runs
            for curve in run.curves(key).values()
            for value in curve.values()
        )
        if room is not None:
            rooms[key] = room
    return rooms


def _references(run: RecordedRun) -> List[str]:
    """List the members with which others are compared."""
    arrays = run.statistics or {}
    members = arrays['members'] if 'correlation' in arrays else ()
    return of_role(members, TEACHER, TARGET) if len(members) > 1 else []


def _common_scales(runs: Sequence[RecordedRun]) -> Dict[str, float]:
    """Choose the same color scales for all runs: their upper ends, by reference
    for differences, and under '' for the correlations themselves."""
    scales: Dict[str, float] = {}
    for run in runs:
        if run.statistics is not None and 'correlation' in run.statistics:
            found = {'': largest_correlation(run.statistics)}
            for name in _references(run):
                found[name] = largest_difference(run.statistics, name)
            for name, value in found.items():
                scales[name] = max(value, scales.get(name, 0))
    return scales
