# Copyright (c) mmdckd contributors. All rights reserved.
"""What changes while a run trains: losses, weights and statistics."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mmengine.registry import DefaultScope

from mmdckd import names
from mmdckd.models.losses import DCKDLoss
from mmdckd.registry import MODELS
from mmdckd.visualization.style import COLOURS, grid, line_style, tidy

from .curves import ACCURACY, Curves, spaced
from .recorded_run import RecordedRun

#: What of a loss has no part in its weights.
COLLECTORS = ('collector', 'teacher_collector')

#: Statistic to title, label of its axis, and factor; a group each figure.
Group = Dict[str, Tuple[str, str, int]]
ENTROPY = dict(
    entropy=('Entropy of what is predicted', 'nats', 1),
    soft_entropy=('Entropy, softened by τ = {tau}', 'nats', 1),
)
CORRELATION = dict(
    correlation_distance=(
        "Distance to the teacher's class correlation",
        'total variation',
        1,
    ),
    correlation_distance_non_target=(
        'The same without the class itself',
        'total variation',
        1,
    ),
)
FIDELITY = dict(
    agreement_right=('Same top-1 where the teacher is right', '%', 100),
    agreement_wrong=('Same top-1 where the teacher is wrong', '%', 100),
    agreement=('Same top-1, over pairs of students', '%', 100),
)
CALIBRATION = dict(
    nll=('Negative log-likelihood', 'nats', 1),
    brier=('Brier score', '', 1),
    ece=('Expected calibration error', '%', 100),
)


def other_metrics(runs: Sequence[RecordedRun]) -> Group:
    """The metrics of students that have no place of their own in the report,
    such as those of a user's evaluator."""
    known = {ACCURACY}.union(ENTROPY, CORRELATION, FIDELITY, CALIBRATION)
    found = (
        names.metric_of(key, run.students[0])
        for run in runs
        for record in run.validation
        for key in record
    )
    return {
        key: (key, '', 1) for key in dict.fromkeys(found) if key and key not in known
    }


def draw_losses(run: RecordedRun) -> Optional[Figure]:
    """Draw every loss by iteration, a panel each, a line each student.

    Args:
        run (RecordedRun): The run.

    Returns:
        Figure, optional: None where nothing was logged of the training.
    """
    terms: Dict[str, Curves] = {}
    for record in run.training:
        for key, value in record.items():
            found = split_loss(key, run.students)
            if found:
                term, member = found
                curve = terms.setdefault(term, {}).setdefault(member, {})
                curve[record['iter']] = value
    if not terms:
        return None
    return _panels(
        ((term, '', 1, curves) for term, curves in terms.items()),
        run.students,
        'iteration',
    )


def split_loss(key: str, students: Sequence[str]) -> Optional[Tuple[str, str]]:
    """Take the name of a loss apart.

    Args:
        key (str): Its name in the log.
        students (Sequence[str]): The names of the students.

    Returns:
        Tuple[str, str], optional: Which loss, and whose, ``all`` for the sum;
        None where it is no loss.
    """
    if names.without_stage(key) == 'loss':
        return 'sum of all losses', names.ALL
    found = names.parse_loss(key)
    if found and found.student in students and names.is_loss(found.name):
        task = found.part == names.STUDENT
        return ('task' if task else found.name), str(found.student)
    return None


def draw_weights(run: RecordedRun) -> Optional[Figure]:
    """Draw the factors before the terms of the collective losses, as the
    config has them, ramps included.

    Args:
        run (RecordedRun): The run.

    Returns:
        Figure, optional: None where there is no ``DCKDLoss``.
    """
    losses = weighted_losses(run.config.model)
    if not losses:
        return None
    figure, panels = grid(len(losses), 2, 4.5, 2.9)
    end = run.config.train_cfg.get('max_epochs') or run.config.train_cfg.get(
        'max_iters'
    )
    for axes, (name, loss) in zip(panels, losses.items()):
        by_epoch = 'max_epochs' in run.config.train_cfg
        last = end
        if loss.ramp and loss.ramp.by_epoch != by_epoch:
            by_epoch, last = loss.ramp.by_epoch, 1.5 * loss.ramp.end
        times = np.linspace(0, last, 400)
        for term in loss.weights(0):
            index = loss.TERMS.index(term)
            weights = [loss.weights(time)[term] for time in times]
            axes.plot(
                times,
                weights,
                color=COLOURS[index],
                linestyle=('-', '--', '-.')[index],
                label=f'{term}  {weights[-1]:g}',
            )
        axes.set_title(f'{name}, τ = {loss.tau:g}', fontsize=10)
        axes.set_xlabel('epoch' if by_epoch else 'iteration')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0), 1.1 * high)
        axes.legend(frameon=False, fontsize=8)
        tidy(axes)
    return figure


def weighted_losses(model: Dict[str, Any]) -> Dict[str, DCKDLoss]:
    """Build the collective losses of a config that have weights.

    Args:
        model (Dict[str, Any]): The config of the model.

    Returns:
        Dict[str, DCKDLoss]: Name to loss.
    """
    distiller = model.get('distiller') or {}
    losses = {}
    with DefaultScope.overwrite_default_scope('mmdckd'):
        for name, cfg in (distiller.get('collective_losses') or {}).items():
            if issubclass(MODELS.get(cfg['type']) or object, DCKDLoss):
                # A user's collector is not imported to draw weights.
                losses[name] = MODELS.build(
                    {key: cfg[key] for key in cfg if key not in COLLECTORS}
                )
    return {name: loss for name, loss in losses.items() if loss.weights(0)}


def draw_statistics(
    run: RecordedRun,
    group: Group,
    limits: Optional[Dict[str, Tuple[float, float]]] = None,
) -> Optional[Figure]:
    """Draw statistics of the members by epoch.

    Args:
        run (RecordedRun): The run.
        group (Group): Which, as in
            :data:`ENTROPY`.
        limits (Dict[str, Tuple[float, float]], optional): The range of an
            axis by statistic. Defaults to None, what is drawn.

    Returns:
        Figure, optional: None where the run has recorded none of them.
    """
    tau = run.statistics['tau'] if run.statistics else float('nan')
    parts = [
        (
            title.replace('{tau}', f'{tau:g}'),
            unit,
            factor,
            run.curves(key),
            (limits or {}).get(key),
        )
        for key, (title, unit, factor) in group.items()
        if run.curves(key)
    ]
    by_iter = 'max_iters' in run.config.train_cfg
    return (
        _panels(parts, run.students, 'iteration' if by_iter else 'epoch')
        if parts
        else None
    )


def _panels(parts, students: List[str], xlabel: str) -> Figure:
    """A panel for each title, unit, factor, curves, and perhaps limits."""
    parts = list(parts)
    figure, panels = grid(len(parts), 3, 3.6, 2.75)
    handles: Dict[str, Line2D] = {}
    for axes, (title, unit, factor, curves, *limits) in zip(panels, parts):
        for name, curve in curves.items():
            steps, values = zip(*sorted(curve.items()))
            style = line_style(name, students)
            if names.role_of(name) in (names.ALL, names.COHORT):
                style.update(linestyle='-')
            if name in students:
                style['markevery'] = spaced(
                    len(steps), students.index(name), len(students)
                )
            (line,) = axes.plot(steps, np.multiply(values, factor), **style)
            handles.setdefault(name, line)
        axes.set_title(title, fontsize=9)
        axes.set_ylabel(unit, fontsize=8)
        axes.set_xlabel(xlabel, fontsize=8)
        if limits and limits[0]:
            low, high = np.multiply(limits[0], factor)
            axes.set_ylim(low, high)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        tidy(axes)
    handles.pop(names.ALL, None)
    rows = -(-len(handles) // (3 * min(len(panels), 3))) or 1
    figure.legend(
        list(handles.values()),
        list(handles),
        loc='outside lower center',
        ncols=-(-len(handles) // rows) or 1,
        frameon=False,
        fontsize=8,
    )
    return figure
