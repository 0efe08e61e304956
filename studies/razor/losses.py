# Copyright (c) mmdckd contributors. All rights reserved.
"""Train every loss and connector of MMRazor inside a cohort, and write a table.

python -m studies.razor.losses --out docs/reference/mmrazor_losses.md
"""

import argparse
import warnings
from typing import Dict

import mmdckd  # isort: skip  # noqa: F401
import mmrazor
from mmengine.logging import MMLogger

from mmdckd.cli.errors import one_error_line
from mmdckd.io.files import write_text
from studies.razor.catalog import CONNECTORS, LOSSES, Case
from studies.razor.check import fault_of

COMMAND = 'python -m studies.razor.losses --out docs/reference/mmrazor_losses.md'
INTRODUCTION = f"""# The losses of MMRazor in a cohort

Made by `{COMMAND}` with MMRazor {mmrazor.__version__}.

Each row is a run of 8 steps (CRDLoss 16) on one batch of handwritten digits. Two
students (ResNet-18 for CIFAR, narrow) learn from a teacher of twice their width. The
entry yes says that every loss is finite and falls, and that the loss of a student
reaches this student alone, not the other student or its connectors. The column "alone"
trains by this loss only. The column "with DCKD" adds the task loss and
`mmdckd.DCKDLoss`. The configs are in `studies/razor/catalog.py`.

MMRazor's losses, connectors and distillers are used unchanged. Features with
incompatible shapes are an error that suggests a connector, and a trainable teacher
gets no gradient from these losses. Each student has its own connectors. With one
student, the numbers equal those of MMRazor's `SingleTeacherDistill`, which is tested
over several steps. To apply a loss only to some students, list them:
`loss_kl=dict(type='KLDivergence', students=['student0'])`.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train every loss and connector of MMRazor inside a '
        'cohort of two and write a table of the results',
        epilog=f'example:\n  {COMMAND}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--out',
        default='docs/reference/mmrazor_losses.md',
        help='the Markdown file to write (default: %(default)s)',
    )
    return parser.parse_args()


def outcome(case: Case, with_dckd: bool) -> str:
    """Return 'yes' or the fault."""
    try:
        fault = fault_of(case, with_dckd)
    except Exception as error:  # a row of the table, whatever it is
        fault = f'{type(error).__name__}: {error}'
    return 'yes' if fault is None else 'no: ' + ' '.join(fault.split())


def table(what: str, cases: Dict[str, Case]) -> str:
    """Run cases and write a table of them."""
    other = 'connectors' if what == 'loss' else 'loss'
    lines = [
        f'| {what} | {other} | distiller | alone | with DCKD | to know |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    for name, case in cases.items():
        alone = outcome(case, False)
        with_dckd = outcome(case, True) if case.trains_student else 'no student learns'
        connectors = {
            cfg['type']
            for part in case.connectors.values()
            for cfg in (part if isinstance(part, list) else [part])
        }
        beside = (
            ', '.join(sorted(connectors)) or 'none'
            if what == 'loss'
            else case.loss['type']
        )
        lines.append(
            f'| {name} | {beside} | {case.distiller} | {alone} | '
            f'{with_dckd} | {case.note} |'
        )
        print(f'{name}: {alone}; with DCKD: {with_dckd}', flush=True)
    return '\n'.join(lines)


@one_error_line()
def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    warnings.simplefilter('ignore')
    text = (
        f'{INTRODUCTION}\n## Losses\n\n{table("loss", LOSSES)}\n\n'
        f'## Connectors\n\n{table("connector", CONNECTORS)}\n'
    )
    write_text(args.out, text)
    if '| no: ' in text:
        raise SystemExit(f'error: some cases failed; see {args.out}')


if __name__ == '__main__':
    main()
