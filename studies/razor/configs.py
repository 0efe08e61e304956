# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert every classification distillation config of MMRazor, run each for
two iterations, and write a table.

    python -m studies.razor.configs --out docs/reference/mmrazor_configs.md
"""

import argparse
import os.path as osp
import re
import tempfile
import warnings
from typing import List

import mmdckd  # isort: skip  # noqa: F401
import mmrazor
from mmengine.logging import MMLogger

from mmdckd.cli.errors import one_error_line
from mmdckd.convert.razor import convert_config
from mmdckd.io.files import write_text
from studies.razor.check_configs import FOLDER, fault_of_run, razor_configs, run_small

COMMAND = 'python -m studies.razor.configs --out docs/reference/mmrazor_configs.md'
INTRODUCTION = f"""# The configs of MMRazor in a cohort

`{COMMAND}` makes this page from every config below `configs/distill/mmcls` of MMRazor
{mmrazor.__version__}.

- **converts**: `python tools/convert_razor_config.py IN OUT --num-students 2` makes
  it a config of two students.
- **runs**: it trains for two iterations and validates, with its own networks,
  losses, pipelines, optimizer and hooks. Images of noise, 64 pixels wide (32 for
  CIFAR), replace its data, and the teacher has random weights. For DeiT, the
  networks are small ones of the same families, and the teacher needs timm.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert and run every classification distillation '
        'config of MMRazor and write a table',
        epilog=f'example:\n  {COMMAND}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--out',
        default='docs/reference/mmrazor_configs.md',
        help='the Markdown file to write (default: %(default)s)',
    )
    parser.add_argument('--only', help='run only configs whose path contains this')
    return parser.parse_args()


def row_of(path: str) -> List[str]:
    """Convert and run one config; return its row of the table."""
    try:
        config, notes = convert_config(osp.join(FOLDER, path), 2)
    except ValueError as error:
        reason = re.sub(r'^Invalid .*?, got \w+: ', '', str(error))
        return [path, 'no', 'no', reason]
    with tempfile.TemporaryDirectory() as folder:
        try:
            logged = run_small(config, osp.basename(path), folder)
            fault = fault_of_run(logged, config)
        except Exception as error:  # a row of the table, whatever it is
            fault = ' '.join(f'{type(error).__name__}: {error}'.split())
    return [path, 'yes', 'no' if fault else 'yes', ' '.join([*notes, fault or ''])]


@one_error_line()
def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    warnings.simplefilter('ignore')
    lines = ['| config | converts | runs |', '| --- | --- | --- |']
    notes = []
    for path in razor_configs():
        if args.only and args.only not in path:
            continue
        row = row_of(path)
        print(': '.join(row), flush=True)
        *cells, note = row
        lines.append(f'| {" | ".join(cells)} |')
        if note:
            notes.append(f'- `{row[0]}`: {note}')
    write_text(args.out, '\n'.join([INTRODUCTION, *lines, '', *notes]) + '\n')


if __name__ == '__main__':
    main()
