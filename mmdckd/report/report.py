# Copyright (c) mmdckd contributors. All rights reserved.
"""Write a report about runs that a browser can show offline."""

import base64
import io
import os
import os.path as osp
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Set

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from mmdckd.io.files import file_stem, path_below, write_text
from mmdckd.version import __version__
from mmdckd.visualization.style import to_png

from .comparison import compare, config_differences
from .confusions import find_confusions
from .decision import best_of_runs, decide
from .examples import Kind, find_examples
from .measures import image_rate
from .recorded_run import RecordedRun
from .sections import Drawn, draw_sections, statistics_of
from .thumbnails import read_pictures

#: The number of listed pairs of classes.
LISTED = 12
#: The longest text of a config or an environment on the page; the rest is cut.
LONGEST_TEXT = 200_000


@dataclass
class Picture:
    """A figure on the page.

    Attributes:
        file (str): The name of its PNG.
        alt (str): Its alternative text.
        data (str): The PNG in base64.
        width (int): Its width in CSS pixels.
    """

    file: str
    alt: str
    data: str
    width: int


@dataclass
class Examples:
    """Images of a run.

    Attributes:
        kinds (List[Kind]): The chosen images by kind.
        pictures (Dict[int, str]): Index of an image to its picture.
        faults (Dict[int, str]): Index of an image that cannot be shown to the
            reason.
        note (str): The reason if there are none; otherwise ``''``.
    """

    kinds: List[Kind] = field(default_factory=list)
    pictures: Dict[int, str] = field(default_factory=dict)
    faults: Dict[int, str] = field(default_factory=dict)
    note: str = ''


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
    sections = draw_sections(runs)
    taken: Set[str] = set()
    stems = [file_stem(run.name, taken) for run in runs]
    pictures = {
        section.key: [
            [_picture(stem, drawn) for drawn in column]
            for stem, column in zip(stems, section.drawn)
        ]
        for section in sections
    }
    folder = osp.join(out, 'figures')
    os.makedirs(folder, exist_ok=True)
    for picture in (p for columns in pictures.values() for c in columns for p in c):
        with open(path_below(folder, picture.file), 'wb') as file:
            file.write(base64.b64decode(picture.data))
    decisions, best_run = [decide(run) for run in runs], best_of_runs(runs)
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
        decisions=decisions,
        leading=sorted(decisions, key=lambda decision: decision.run != best_run),
        best_run=best_run,
        examples=[_examples(run) for run in runs],
        comparison=compare(runs),
        differences=config_differences(runs),
        sections=sections,
        pictures=pictures,
        confusions=[_confusions(run) for run in runs],
        image_rate=image_rate,
        when=statistics_of(runs),
        configs=[_bounded(run.config.pretty_text) for run in runs],
    )
    path = osp.join(out, 'report.html')
    # Names of folders may have bytes that are no UTF-8.
    write_text(path, text.encode('utf-8', 'backslashreplace').decode('utf-8'))
    return path


def _picture(stem: str, drawn: Drawn) -> Picture:
    data = to_png(drawn.figure)
    if not any(axes.images for axes in drawn.figure.axes):  # no color scale
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(data)) as image:
            # A third of the bytes, without a visible difference.
            image.convert('RGB').quantize(256).save(buffer, 'PNG', optimize=True)
        data = buffer.getvalue()
    return Picture(
        f'{stem}_{drawn.key}.png',
        drawn.alt,
        base64.b64encode(data).decode(),
        round(96 * drawn.figure.get_figwidth()),
    )


def _examples(run: RecordedRun) -> Examples:
    """Choose and read images, or say why there are none."""
    arrays = run.statistics
    if arrays is None or 'labels' not in arrays or 'files' not in arrays:
        return Examples(
            note='This run has not recorded predictions for single images. '
            'CohortStatisticsHook records them, for up to 100,000 images with one '
            'label each.'
        )
    own = [str(name) for name in arrays['members'][: len(arrays['top'])]]
    chosen = run.best.student if run.best and run.best.student in own else own[0]
    kinds = find_examples(arrays, chosen)
    indices = list(dict.fromkeys(e.index for kind in kinds for e in kind.examples))
    try:
        shown, faults = read_pictures(run, indices)
    except ValueError as error:
        return Examples(note=f'The images are not available: {error}.')
    if faults and not shown:
        return Examples(
            note=f'The images are not available: {next(iter(faults.values()))}.'
        )
    return Examples(kinds, shown, faults)


def _confusions(run: RecordedRun) -> Optional[dict]:
    """List the pairs of classes that are confused most, those that the ensemble
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


def _bounded(text: str) -> str:
    rest = len(text) - LONGEST_TEXT
    return (
        f'{text[:LONGEST_TEXT]}\n... and {rest:,} characters more' if rest > 0 else text
    )
