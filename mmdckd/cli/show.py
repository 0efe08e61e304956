# Copyright (c) mmdckd contributors. All rights reserved.
"""Print what a config builds: the members of the cohort, the cost of each, and
who learns what from whom. Neither weights nor data are needed."""

import argparse
from typing import TYPE_CHECKING, List, Optional

from mmdckd.console.calm_console import open_console, print_line

from .arguments import add_cfg_options, command_parser
from .errors import check_file, one_error_line

if TYPE_CHECKING:
    from mmengine.config import Config

EXAMPLES = """example:
  %(prog)s configs/dckd_r34_r18_digits.py \\
      --cfg-options model.num_students=2
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd show'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument('config', help='the config file of a training')
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='side, or height and width, of the images (default: the size that '
        'the training pipeline produces)',
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.size is not None and (len(args.size) > 2 or min(args.size) < 1):
        parser.error(
            f'argument --size: expected one or two numbers from 1 on, got {args.size}'
        )
    return args


def drop_weights(model: dict) -> None:
    """Remove the weights that members start from; networks that are not dicts
    are left for the model to refuse."""
    from mmdckd.io.type_names import is_pretrained_init

    model.pop('teacher_ckpt', None)
    model['allow_random_teacher'] = True
    teachers = model.get('teacher') or []
    networks = list(teachers if isinstance(teachers, (list, tuple)) else [teachers])
    networks += (model.get('students') or {}).values()
    peers = model.get('finished_peers')
    networks += peers if isinstance(peers, (list, tuple)) else []
    networks.append(model.get('architecture') or {})
    for network in (each for each in networks if isinstance(each, dict)):
        network.pop('pretrained', None)
        network.pop('new_head', None)
        starts = network.get('init_cfg') or []
        starts = [starts] if isinstance(starts, dict) else starts
        if any(map(is_pretrained_init, starts)):
            del network['init_cfg']


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd show') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Print the tables of a config."""
    check_file('config', args.config)
    print_line('\n\n'.join(tables_of(cohort_config(args), args.size)))


def cohort_config(args: argparse.Namespace) -> 'Config':
    """Return the config that the arguments select; exit if it has no cohort."""
    from mmdckd.models.algorithms import CollectiveDistill
    from mmdckd.registry import MODELS

    from .run_config import read_config

    cfg = read_config(args.config, args.cfg_options)
    kind = cfg.model.get('type')  # of a lazy config it is the class
    if isinstance(kind, str):
        kind = MODELS.get(kind)
    if not (kind and issubclass(kind, CollectiveDistill)):
        raise SystemExit(
            f'error: Invalid `model.type`: expected mmdckd.CollectiveDistill, got '
            f'{cfg.model.get("type")} in {args.config!r}.'
        )
    return cfg


def tables_of(cfg: 'Config', sides: Optional[List[int]]) -> List[str]:
    """Return one table per phase of a config; see :func:`summary_of`."""
    from mmdckd.engine.runner.phases import phases_of, with_untrained_peers

    phases = phases_of(cfg)
    tables = [summary_of(with_untrained_peers(each, phases), sides) for each in phases]
    if len(phases) == 1:
        return tables
    return [f'{phase.name}\n{table}' for phase, table in zip(phases, tables)]


def summary_of(cfg: 'Config', sides: Optional[List[int]]) -> str:
    """Return the table of the cohort that a config describes.

    Args:
        cfg (Config): The config.
        sides (List[int], optional): The side, or height and width, of the
            images. None means the size that the training pipeline produces.
    """
    from mmengine.registry import DefaultScope

    from mmdckd.engine.cohort_summary import as_table, summarize
    from mmdckd.registry import MODELS
    from mmdckd.report.image_size import train_image_size

    from .config_errors import naming_config_keys

    drop_weights(cfg.model)
    preprocessor = cfg.model.get('data_preprocessor', cfg.get('data_preprocessor'))
    cfg.model.data_preprocessor = preprocessor
    scope = cfg.get('default_scope', 'mmengine')
    with naming_config_keys(cfg), DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
    channels = len((preprocessor or {}).get('mean') or (0, 0, 0))
    size = train_image_size(cfg) if sides is None else sides * 2
    if size is None:
        raise SystemExit(
            'error: Invalid `--size`: expected the size of the images, which the '
            'training pipeline does not set, got none.'
        )
    return as_table(summarize(model, (channels, *size[:2])))
