# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the table of the model zoo."""

from importlib.metadata import PackageNotFoundError, version
from typing import Dict, List, Optional, Tuple

from .entries import WRAPPED, Entry, families
from .run import Record

_HEADER = """# The model zoo

Written by `python -m studies.zoo`. Every family of image classifiers that
MMPretrain ships a config for, and classifiers of timm and transformers, small
and random. Of each kind, a type of backbone with a type of head, it is the
smallest config.

- **As student**: two students of this network and a small teacher go through one
  training step with `DCKDLoss` and one validation step. Losses are finite and both
  learn, from the scores that their own heads predict with (or those of the distillation
  classifier). Each scores bit for bit what MMPretrain alone makes of its weights.
  Saving and loading loses nothing.
- **As teacher**: the network, with random weights, teaches two small students
  for one training step and one validation step. It stays as it is, and scores
  what it scores alone.
- **Control**: MMPretrain alone does the same. What it cannot ask is neither
  student nor teacher.

No config has a recorder: the logits are found. The batch is two photographs,
in the form and size that the pipelines of the config give them.

{summary}

| family | config | parameters | as student | as teacher | control | why not |
| --- | --- | --: | :-: | :-: | :-: | --- |
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
    rows, counts = [], dict(student=[0, 0], teacher=[0, 0])
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
            f'| {entry.family} | `{entry.config}` | {_millions(entry)} | '
            f'{cells["student"]} | {cells["teacher"]} | '
            f'{_say_control(control)} | {_cell("; ".join(reasons))} |'
        )
    summary = (
        f'{len(entries)} networks of {len({e.family for e in entries})} '
        f'families. {counts["student"][0]} of {counts["student"][1]} learn in a '
        f'cohort, and {counts["teacher"][0]} of {counts["teacher"][1]} teach one. '
        f'MMPretrain alone trains {trained}.'
    )
    page = _HEADER.format(summary=summary) + '\n'.join(rows) + '\n'
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


def _cell(text: str) -> str:
    return text.replace('|', '\\|').replace('<', '&lt;')


def _left_out(entries: List[Entry], unreadable: Dict[str, str]) -> str:
    known = {entry.family for entry in entries}
    others = [name for name in families() if name not in known]
    lines = [
        '',
        '## Left out',
        '',
        'Pretraining without labels, retrieval, captioning, questions and '
        'answers, other multimodal models, and networks without a head are no '
        'image classifiers. Of a family that has both, the classifiers are '
        'above. Networks in their form for deployment are not trained. '
        f'Families with nothing else: {", ".join(others)}.',
        '',
        'A `MultiTaskHead`, of which MMPretrain ships no config, predicts '
        'several distributions, and a cohort needs one: name the logits of '
        'one task by `distiller.student_logits`. Of every head, '
        '[](heads.md) says what it gives. Multi-label networks (csra, vgg on '
        'VOC) learn as such.',
        '',
    ]
    if unreadable:
        lines += [
            'Configs that MMEngine cannot read, or not without other packages:',
            '',
        ]
        lines += [f'- `{name}`: {_cell(why)}' for name, why in unreadable.items()]
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
