# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the table of the model zoo."""

from importlib.metadata import PackageNotFoundError, version
from typing import Dict, List, Optional, Tuple

from .entries import WRAPPED, Entry, families
from .run import Record

_HEADER = """# The model zoo

`python -m studies.zoo` checks every family of image classifiers that MMPretrain
ships a config for, and small, randomly initialized classifiers of timm and
transformers. Each pair of a backbone type and a head type is represented by its
smallest config.

- **Student**: two students of this network and a small teacher run one training step
  with `DCKDLoss` and one validation step. The losses are finite, and both students
  learn from the scores that their own heads predict with (or from those of the
  distillation classifier). Their scores equal those of MMPretrain alone with the same
  weights, to the bit. Saving and loading changes nothing.
- **Teacher**: the network, with random weights, teaches two small students for one
  training step and one validation step. Its weights and its scores do not change.
- **Control**: MMPretrain alone trains and predicts. A network that cannot predict there
  is checked neither as student nor as teacher.

No config has a recorder: mmdckd finds the logits. The batch is two photographs, as
the pipelines of the config load and resize them.

{summary}

| config | parameters | student | teacher | control |
| --- | --: | :-: | :-: | :-: |
"""


def report(
    entries: List[Entry], unreadable: Dict[str, str], record: Record
) -> Tuple[str, str]:
    """Write the table.

    Args:
        entries (List[Entry]): The checked configs.
        unreadable (Dict[str, str]): The configs that cannot be read, with
            the reason.
        record (Record): The results.

    Returns:
        tuple: The page, and its summary in one line.
    """
    rows, notes = [], []
    counts = dict(student=[0, 0], teacher=[0, 0])
    trained = 0
    for entry in sorted(entries, key=_place):
        control = record.of(entry.config, 'control')
        cells, reasons = {}, []
        trained += bool(control and not control['trains'])
        for role in counts:
            result = record.of(entry.config, role)
            if control and control['predicts']:
                cells[role] = '–'
                continue
            passed = bool(result and not result['reason'])
            cells[role] = 'yes' if passed else 'no' if result else ''
            counts[role][0] += passed
            counts[role][1] += 1
            if result and result['reason']:
                reasons.append(f'as {role}: {result["reason"]}')
        reasons += _why_control_fails(control)
        rows.append(
            f'| `{entry.config}` | {_millions(entry)} | {cells["student"]} | '
            f'{cells["teacher"]} | {_say_control(control)} |'
        )
        if reasons:
            notes.append(f'- `{entry.config}`: {_escape("; ".join(reasons))}')
    summary = (
        f'{len(entries)} networks of {len({e.family for e in entries})} '
        f'families. {counts["student"][0]} of {counts["student"][1]} learn in a '
        f'cohort, and {counts["teacher"][0]} of {counts["teacher"][1]} teach one. '
        f'MMPretrain alone trains {trained}.'
    )
    page = _HEADER.format(summary=summary) + '\n'.join([*rows, '', *notes]) + '\n'
    return page + _left_out(entries, unreadable) + _versions(), summary


def _place(entry: Entry) -> tuple:
    return entry.config in WRAPPED, entry.family, entry.config


def _millions(entry: Entry) -> str:
    return f'{entry.parameters / 1e6:.1f} M' if entry.parameters else ''


def _say_control(control: Optional[dict]) -> str:
    if control is None:
        return ''
    if not control['trains']:
        return 'yes'
    return 'no' if control['predicts'] else 'predicts'


def _why_control_fails(control: Optional[dict]) -> List[str]:
    if control is None:
        return []
    faults = {control['trains'], control['predicts']} - {None}
    return [f'MMPretrain: {why}' for why in sorted(faults)]


def _escape(text: str) -> str:
    return text.replace('<', '&lt;')


def _left_out(entries: List[Entry], unreadable: Dict[str, str]) -> str:
    known = {entry.family for entry in entries}
    others = [name for name in families() if name not in known]
    lines = [
        '',
        '## Left out',
        '',
        'Models for pretraining without labels, retrieval, captioning and question '
        'answering, other multimodal models, and networks without a head are not '
        'image classifiers. Networks in their deployment form are not trained. '
        f'These families have no other config: {", ".join(others)}.',
        '',
        'A `MultiTaskHead`, of which MMPretrain ships no config, predicts several '
        'distributions, and a cohort needs one: set `distiller.student_logits` to '
        'the logits of one task. [Heads](heads.md) lists what each head predicts. '
        'Multi-label networks (csra, vgg on VOC) learn as such.',
        '',
    ]
    if unreadable:
        lines += [
            'MMEngine cannot read these configs, or needs other packages for them:',
            '',
        ]
        lines += [f'- `{name}`: {_escape(why)}' for name, why in unreadable.items()]
        lines.append('')
    return '\n'.join(lines)


def _versions() -> str:
    found = []
    for name in (
        'torch',
        'mmengine',
        'mmcv',
        'mmcv-lite',
        'mmpretrain',
        'mmrazor',
        'timm',
        'transformers',
    ):
        try:
            found.append(f'{name} {version(name)}')
        except PackageNotFoundError:
            continue
    return f'\nMade with {", ".join(found)}.\n'
