# Copyright (c) mmdckd contributors. All rights reserved.
"""Decide which student of a run to use, and say why."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence

from mmdckd.evaluation.best_rule import best_of
from mmdckd.names import BEST, ENSEMBLE, MODEL, TEACHER, metric_name, of_role

from .measures import times, title_of, written
from .recorded_run import RecordedRun
from .weight_files import chosen_checkpoint, exported_config, last_checkpoint


@dataclass
class Row:
    """A member in the table of a run.

    Attributes:
        member (str): Its name.
        chosen (bool): Whether it is the student to use.
        at_best (str): Its value in the best validation.
        last (str): Its value in the last validation.
        parameters (str): The number of its parameters.
        macs (str): The cost of its forward pass.
    """

    member: str
    chosen: bool
    at_best: str
    last: str
    parameters: str
    macs: str


@dataclass
class Decision:
    """The student of a run to use, and the reasons.

    Attributes:
        run (str): The name of the run.
        use (str): The student and validation to use; ``''`` if none can be chosen.
        value (str): Its value of the metric.
        rest (str): The rest of the sentence; all of it if ``use`` is empty.
        student (str): The name of the student; ``''`` for a network that is trained
            alone.
        file (str, optional): The file to use; None if it does not exist.
        is_exported (bool): Whether the file contains only the student.
        notes (List[str]): Remarks about the choice.
        rows (List[Row]): A row for every member.
        first (str): The name of the best validation.
    """

    run: str
    use: str
    value: str
    rest: str
    student: str = ''
    file: Optional[str] = None
    is_exported: bool = False
    notes: List[str] = field(default_factory=list)
    rows: List[Row] = field(default_factory=list)
    first: str = ''

    @property
    def sentence(self) -> str:
        """str: The decision as a sentence."""
        return f'Use {self.use}: {self.value}{self.rest}' if self.use else self.rest


def decide(run: RecordedRun) -> Decision:
    """Decide which student of a run to use.

    Args:
        run (RecordedRun): The run.
    """
    best = run.best
    if best is None:
        return _undecided(run)
    when = f'{run.unit} {best.step}'
    exported = exported_config(run)
    use = (
        f'{best.student}, {when}' if best.student != MODEL else f'the network of {when}'
    )
    return Decision(
        run.name,
        use,
        f'{written(run.metric, best.value)} {title_of(run.metric)}'.replace(
            ' top-1 accuracy', ''
        ),
        _beside_teacher(run) + '.',
        best.student if best.student != MODEL else '',
        exported or chosen_checkpoint(run),
        exported is not None,
        [*_notes(run), *_progress(run)],
        _rows(run),
        when,
    )


def best_of_runs(runs: Sequence[RecordedRun]) -> Optional[str]:
    """Return the name of the run with the best choice; None if the runs have
    different metrics or images and cannot be compared."""
    chosen = {run.name: run.best.value for run in runs if run.best is not None}
    measured = {
        str((run.rules and run.rules.students[:2], run.config.get('val_dataloader')))
        for run in runs
    }
    if len(runs) < 2 or len(chosen) < len(runs) or len(measured) > 1:
        return None
    rules = runs[0].rules
    assert rules is not None
    return best_of(chosen, rules.students.rule)


def _beside_teacher(run: RecordedRun) -> str:
    assert run.best is not None
    curves = run.curves(run.metric)
    teachers = of_role(curves, TEACHER)
    if not teachers:
        return ''
    values = [_at(curves[name], run.best.step) for name in teachers]
    texts = ' and '.join(written(run.metric, v) for v in values if v is not None)
    many = len(teachers) > 1
    text = f'; the teacher{"s have" if many else " has"} {texts}'
    sizes = {member['name']: member['parameters'] for member in run.members}
    own = sizes.get(run.best.student)
    ratios = [sizes[name] / own for name in teachers if own and name in sizes]
    if len(ratios) == 1:
        text += f', with {times(ratios[0])} parameters'
    return text


def _at(curve: Dict[int, float], step: int) -> Optional[float]:
    """Return a value in a validation, or in the last one before it."""
    steps = [each for each in curve if each <= step]
    return curve[max(steps)] if steps else None


def _notes(run: RecordedRun) -> List[str]:
    assert run.best is not None and run.rules is not None
    rule = run.rules.students
    which = 'highest' if rule.rule == 'greater' else 'lowest'
    text = f'Chosen by the {which} {title_of(run.metric)} in validation'
    if run.rules.key not in (rule.metric, metric_name(BEST, rule.metric)):
        text += f', the {run.unit} by {run.rules.key}'
    notes = [
        f'{text}. This choice makes the figure optimistic; mmdckd test measures the '
        'student on other images.'
    ]
    images = run.num_images
    if images and run.metric.startswith('accuracy/'):
        notes[0] += f' One of the {images:,} images is {100 / images:.2g} points.'
    curves = run.curves(run.metric)
    if ENSEMBLE in curves and len(run.students) > 1:
        value = _at(curves[ENSEMBLE], run.best.step)
        if value is not None:
            notes.append(
                f'The ensemble of the {len(run.students)} students has '
                f'{written(run.metric, value)} on the same images, at the cost of '
                'all of them.'
            )
    return notes


def _progress(run: RecordedRun) -> List[str]:
    """Return a remark if a run is not finished."""
    train = run.config.get('train_cfg') or {}
    last = run.validation[-1]['step']
    end = train.get('max_iters' if run.by_iteration else 'max_epochs')
    if not isinstance(end, int) or last >= end:
        return []
    return [
        f'Its last validation is that of {run.unit} {last} of {end}: the run was '
        'stopped early or is still training.'
    ]


def _undecided(run: RecordedRun) -> Decision:
    last = last_checkpoint(run)
    if run.validation:
        why = f'no validation has a number for {title_of(run.metric)}'
    else:
        why = 'this run has not been validated'
    return Decision(
        run.name,
        '',
        '',
        f'No student can be chosen: {why}. mmdckd test measures all of them.',
        file=last,
    )


def _rows(run: RecordedRun) -> List[Row]:
    assert run.best is not None
    curves = run.curves(run.metric)
    known = {member['name']: member for member in run.members}
    students = len(run.students)
    rows = []
    for name in [*run.students, *of_role(curves, ENSEMBLE), *of_role(curves, TEACHER)]:
        if name == ENSEMBLE and students == 1 or name not in curves:
            continue
        own = [known[each] for each in run.students if each in known]
        if name != ENSEMBLE:
            own = [known[name]] if name in known else []
        value, end = _at(curves[name], run.best.step), curves[name][max(curves[name])]
        rows.append(
            Row(
                name,
                name == run.best.student,
                '' if value is None else written(run.metric, value, 2),
                written(run.metric, end, 2),
                f'{sum(member["parameters"] for member in own):,}' if own else '',
                f'{sum(member["macs"] for member in own):,}' if own else '',
            )
        )
    return rows
