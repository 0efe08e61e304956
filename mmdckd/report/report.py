# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs as a report that a browser shows without a network."""

import base64
import os
import os.path as osp
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from mmdckd.io.files import path_below, write_text
from mmdckd.names import TARGET, TEACHER, of_role
from mmdckd.version import __version__
from mmdckd.visualization.matrix_figures import (
    ALL_CLASSES,
    draw_agreement,
    draw_correlations,
    draw_differences,
    largest_correlation,
    largest_difference,
)
from mmdckd.visualization.style import to_png

from . import epoch_figures
from .comparison import compare, config_differences, rate
from .confusions import find_confusions
from .curves import ACCURACY, accuracy_figure
from .recorded_run import RecordedRun
from .reliability_figure import draw_reliability

#: How many pairs of classes are listed.
LISTED = 12


@dataclass
class Picture:
    """A figure of one run.

    Attributes:
        file (str): The name of its PNG.
        alt (str): What it shows.
        data (str): The PNG in base64.
        width (int): How wide it is meant to be, in CSS pixels.
    """

    file: str
    alt: str
    data: str
    width: int


@dataclass
class Section:
    """A section of the report, with a column for each run.

    Attributes:
        key (str): Its anchor.
        title (str): Its title.
        text (str): How to read it.
        pictures (List[List[Picture]]): Those of each run.
    """

    key: str
    title: str
    text: str
    pictures: List[List[Picture]] = field(default_factory=list)


def write_report(runs: Sequence[RecordedRun], out: str) -> str:
    """Write ``report.html`` and the figures in it as PNG files.

    Args:
        runs (Sequence[RecordedRun]): The runs, in the order of the columns.
        out (str): The folder to write ``report.html`` and ``figures/`` to.

    Returns:
        str: The path of the report.
    """
    names = Counter(run.name for run in runs)
    assert max(names.values()) == 1, names
    sections = _sections(runs)
    folder = osp.join(out, 'figures')
    os.makedirs(folder, exist_ok=True)
    for section in sections:
        for picture in sum(section.pictures, []):
            with open(path_below(folder, picture.file), 'wb') as file:
                file.write(base64.b64decode(picture.data))
    environment = Environment(
        loader=PackageLoader('mmdckd.report', '.'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    text = environment.get_template('report.html.j2').render(
        runs=runs,
        version=__version__,
        comparison=compare(runs),
        differences=config_differences(runs),
        sections=sections,
        confusions=[_confusions(run) for run in runs],
        listed=LISTED,
        rate=rate,
    )
    path = osp.join(out, 'report.html')
    write_text(path, text)
    return path


def _sections(runs: Sequence[RecordedRun]) -> List[Section]:
    sections = [
        Section(
            'accuracy',
            'Accuracy',
            'Top-1 on the validation split. The axis widens towards 100 %; '
            "the ring is around the best student's best epoch.",
        ),
        Section(
            'losses',
            'Losses',
            "A line for each student; task is the student's own loss, the "
            'others are those of the distillation, weights included. The '
            'negative log-likelihood of all members in validation is under '
            'Calibration.',
        ),
        Section(
            'weights',
            'Weights',
            'The factors before the terms of the collective loss, with their '
            'ramps, as the config has them; the last value in the legend.',
        ),
        Section(
            'entropy',
            'Entropy',
            'How much probability is spread over the classes, mean over the '
            'validation split; softened by the temperature of the statistics '
            'on the right, with what the collector makes of the students '
            '(target).',
        ),
        Section(
            'correlation',
            'Class correlation',
            'Row by row, the mean softened prediction for images of a class: '
            'which classes a member holds to be like it. Below, what a member '
            'has more (orange) or less (purple) than the teacher and than '
            'what is collected. Diagonals are left out. Of more than '
            f'{ALL_CLASSES} classes those that are most alike are shown.',
        ),
        Section(
            'agreement',
            'Agreement',
            'The share of images for which two members have the same top-1. '
            'Where the teacher is wrong, the same top-1 is a mistake that was '
            'taken over.',
        ),
        Section(
            'calibration',
            'Calibration',
            'Accuracy by confidence in 15 bins; what lacks to the diagonal is '
            'hatched, and its mean over the images is the expected '
            'calibration error (ECE).',
        ),
        Section('metrics', 'Other metrics', 'What else the evaluators have measured.'),
    ]
    others = epoch_figures.other_metrics(runs)
    limits, scales = _common_limits(runs, others), _common_scales(runs)
    values = [
        value
        for run in runs
        for curve in run.curves(ACCURACY).values()
        for value in curve.values()
    ]
    for run in runs:
        drawn = dict(_draw(run, limits, scales, (min(values), max(values)), others))
        for section in sections:
            section.pictures.append(
                [
                    _picture(run, key, title, figure)
                    for key, (title, figure) in drawn.items()
                    if key.split('-')[0] == section.key
                ]
            )
    return [section for section in sections if any(section.pictures)]


def _draw(
    run: RecordedRun,
    limits: Dict[str, Tuple[float, float]],
    scales: Dict[str, float],
    accuracy: Tuple[float, float],
    others: epoch_figures.Group,
):
    """Yield the key, title and figure of all that a run has."""

    def statistics(group: dict) -> Optional[Figure]:
        return epoch_figures.draw_statistics(run, group, limits)

    drawn: Dict[str, Tuple[str, Callable[[], Optional[Figure]]]] = {
        'accuracy': (
            'Accuracy by epoch',
            lambda: accuracy_figure(run.curves(ACCURACY), limits=accuracy),
        ),
        'losses': ('Losses by iteration', lambda: epoch_figures.draw_losses(run)),
        'weights': ('Weights of the losses', lambda: epoch_figures.draw_weights(run)),
        'entropy': ('Entropy by epoch', lambda: statistics(epoch_figures.ENTROPY)),
    }
    arrays = run.statistics
    if arrays is not None:
        if 'correlation' in arrays:
            drawn['correlation'] = (
                'Class correlation',
                lambda: draw_correlations(arrays, scales['']),
            )
        for name in _references(run):
            drawn[f'correlation-less-{name}'] = (
                f'Class correlation less that of {name}',
                partial(draw_differences, arrays, name, scales[name]),
            )
        if len(arrays['agreement']) > 1:
            drawn['agreement'] = (
                'Agreement of members',
                lambda: draw_agreement(arrays),
            )
        drawn['calibration'] = ('Reliability', lambda: draw_reliability(arrays))
    drawn['correlation-epochs'] = (
        'Distance of class correlations by epoch',
        lambda: statistics(epoch_figures.CORRELATION),
    )
    drawn['agreement-epochs'] = (
        'Agreement by epoch',
        lambda: statistics(epoch_figures.FIDELITY),
    )
    drawn['calibration-epochs'] = (
        'Calibration by epoch',
        lambda: statistics(epoch_figures.CALIBRATION),
    )
    drawn['metrics'] = ('Other metrics by epoch', lambda: statistics(others))
    for key, (title, draw) in drawn.items():
        figure = draw()
        if figure is not None:
            yield key, (title, figure)


def _common_limits(
    runs: Sequence[RecordedRun], *others: epoch_figures.Group
) -> Dict[str, Tuple[float, float]]:
    """The same axes for all runs, so that they can be compared."""
    limits = {}
    for group in (
        epoch_figures.ENTROPY,
        epoch_figures.CORRELATION,
        epoch_figures.FIDELITY,
        epoch_figures.CALIBRATION,
        *others,
    ):
        for key in group:
            values = [
                value
                for run in runs
                for curve in run.curves(key).values()
                for value in curve.values()
            ]
            if values:
                room = 0.05 * (max(values) - min(values)) or 0.01
                limits[key] = (min(values) - room, max(values) + room)
    return limits


def _references(run: RecordedRun) -> List[str]:
    """The members that others are compared with."""
    arrays = run.statistics or {}
    members = arrays['members'] if 'correlation' in arrays else ()
    return of_role(members, TEACHER, TARGET) if len(members) > 1 else []


def _common_scales(runs: Sequence[RecordedRun]) -> Dict[str, float]:
    """The same colours for all runs: the ends of the scales, '' for the
    correlations, the rest for the differences to a reference."""
    scales: Dict[str, float] = {}
    for run in runs:
        if run.statistics is not None and 'correlation' in run.statistics:
            found = {'': largest_correlation(run.statistics)}
            for name in _references(run):
                found[name] = largest_difference(run.statistics, name)
            for name, value in found.items():
                scales[name] = max(value, scales.get(name, 0))
    return scales


def _picture(run: RecordedRun, key: str, title: str, figure: Figure) -> Picture:
    name = re.sub(r'[^\w.-]+', '_', f'{run.name}_{key}')
    return Picture(
        f'{name}.png',
        f'{title}, {run.name}',
        base64.b64encode(to_png(figure)).decode(),
        round(96 * figure.get_figwidth()),
    )


def _confusions(run: RecordedRun) -> Optional[dict]:
    """The pairs of classes that are confused most, those that the ensemble
    resolves best, and those that it makes worse."""
    if run.statistics is None or 'confusion' not in run.statistics:
        return None
    found = find_confusions(run.statistics)
    several = [each for each in found if each.ensemble is not None]
    return dict(
        most=found[:LISTED],
        resolved=sorted(
            (each for each in several if each.resolved > 0),
            key=lambda each: -each.resolved,
        )[:LISTED],
        worse=sorted(
            (each for each in several if each.resolved < 0),
            key=lambda each: each.resolved,
        )[:LISTED],
        several=bool(several),
        teacher=any(each.teacher is not None for each in found),
    )
