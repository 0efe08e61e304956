# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw losses, weights and statistics over a run."""

from types import MappingProxyType
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mmengine.registry import DefaultScope

from mmdckd import names
from mmdckd.models.losses import DCKDLoss
from mmdckd.registry import MODELS
from mmdckd.visualization.style import COLORS, SMALL, grid, tidy

from .curves import Curves
from .panels import Panel, Room, draw_panels
from .recorded_run import RecordedRun

#: The options of a loss that do not affect its weights.
COLLECTORS = ('collector', 'teacher_collector')
#: The scopes under which a config names the losses of mmdckd.
_SCOPES = ('', 'mmdckd', 'mmrazor')

#: Statistic to title, axis label and factor; each figure shows one group.
Group = Dict[str, Tuple[str, str, int]]
ENTROPY = dict(
    entropy=('Entropy of the prediction', 'nats', 1),
    soft_entropy=('Entropy, softened by τ = {tau}', 'nats', 1),
)
CORRELATION = dict(
    correlation_distance=(
        "Distance to the teacher's class correlation",
        'total variation',
        1,
    ),
    correlation_distance_non_target=(
        'The same, without the true class',
        'total variation',
        1,
    ),
)
FIDELITY = dict(
    agreement_right=('Agreement where the teacher is right', '%', 100),
    agreement_wrong=('Agreement where the teacher is wrong', '%', 100),
    agreement=('Agreement, over pairs of students', '%', 100),
)
CALIBRATION = dict(
    nll=('Negative log-likelihood', 'nats', 1),
    brier=('Brier score', '', 1),
    ece=('Expected calibration error', '%', 100),
)


def other_metrics(runs: Sequence[RecordedRun]) -> Group:
    """Return the metrics of students that no other section of the report shows,
    such as those of a user's evaluator."""
    known = {run.metric for run in runs}.union(
        ENTROPY, CORRELATION, FIDELITY, CALIBRATION
    )
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
    """Draw every loss by iteration, one panel a loss and one line a student.

    Args:
        run (RecordedRun): The run.

    Returns:
        Figure, optional: None if no training iteration was logged.
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
    return draw_panels(
        [Panel(term, '', curves) for term, curves in terms.items()],
        run.students,
        'iteration',
    )


def split_loss(key: str, students: Sequence[str]) -> Optional[Tuple[str, str]]:
    """Split the name of a loss in the log.

    Args:
        key (str): The name in the log.
        students (Sequence[str]): The names of the students.

    Returns:
        Tuple[str, str], optional: The loss and the student, ``all`` for the sum;
        None if it is not a loss.
    """
    if names.without_stage(key) == 'loss':
        return 'sum of all losses', names.ALL
    found = names.parse_loss(key)
    if found and found.student in students and names.is_loss(found.name):
        task = found.part == names.STUDENT
        return ('task' if task else found.name), str(found.student)
    return None


def draw_weights(run: RecordedRun) -> Optional[Figure]:
    """Draw the factors of the terms of the collective losses, computed from the
    config, ramps included.

    Args:
        run (RecordedRun): The run.

    Returns:
        Figure, optional: None if there is no ``DCKDLoss``.
    """
    losses = weighted_losses(run.config.model)
    if not losses:
        return None
    figure, panels = grid(len(losses), 2, 3.6, 2.9)
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
                color=COLORS[index],
                linestyle=('-', '--', '-.')[index],
                label=f'{term}  {weights[-1]:g}',
            )
        axes.set_title(f'{name}, τ = {loss.tau:g}', fontsize=10)
        axes.set_xlabel('epoch' if by_epoch else 'iteration')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0), 1.1 * high)
        axes.legend(frameon=False, fontsize=SMALL)
        tidy(axes)
    return figure


def weighted_losses(model: Dict[str, Any]) -> Dict[str, DCKDLoss]:
    """Build the collective losses of a config that have factors to draw.

    Only losses of mmdckd are built, and no other module is imported, because the
    config can be anybody's.

    Args:
        model (Dict[str, Any]): The config of the model.

    Returns:
        Dict[str, DCKDLoss]: Name to loss.
    """
    distiller = model.get('distiller') or {}
    losses = {}
    with DefaultScope.overwrite_default_scope('mmdckd'):
        for name, cfg in (distiller.get('collective_losses') or {}).items():
            kind = _loss_type(cfg['type'])
            if kind is not None:
                # Drawing weights does not import a user's collector.
                options = {key: cfg[key] for key in cfg if key not in COLLECTORS}
                losses[name] = MODELS.build(dict(options, type=kind))
    return {name: loss for name, loss in losses.items() if loss.weights(0)}


def _loss_type(name: str) -> Optional[Type[DCKDLoss]]:
    """Return the loss of mmdckd that a config names, if it has factors to draw."""
    scope, _, own = name.rpartition('.')
    if scope not in _SCOPES and not scope.startswith('mmdckd.'):
        return None
    kind = MODELS.module_dict.get(own, object)
    return kind if issubclass(kind, DCKDLoss) else None


def draw_statistics(
    run: RecordedRun, group: Group, rooms: Mapping[str, Room] = MappingProxyType({})
) -> Optional[Figure]:
    """Draw statistics of the members by epoch.

    Args:
        run (RecordedRun): The run.
        group (Group): The statistics, such as :data:`ENTROPY`.
        rooms (Mapping[str, Room]): The ranges of the axes, by statistic.
            Defaults to none: the ranges of the curves.

    Returns:
        Figure, optional: None if the run has recorded none of them.
    """
    tau = run.statistics['tau'] if run.statistics else float('nan')
    panels = [
        Panel(
            title.replace('{tau}', f'{tau:g}'),
            unit,
            {
                name: {step: factor * value for step, value in curve.items()}
                for name, curve in run.curves(key).items()
                if name != names.BEST  # it is one of the students
            },
            Room(*(factor * end for end in rooms[key])) if key in rooms else None,
            run.images_behind(key),
        )
        for key, (title, unit, factor) in group.items()
        if run.curves(key)
    ]
    return draw_panels(panels, run.students, run.unit) if panels else None
