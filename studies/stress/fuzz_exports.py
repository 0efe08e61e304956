# Copyright (c) mmdckd contributors. All rights reserved.
"""Export students of hostile checkpoints, load the written files, and check that no
code runs and nothing is written elsewhere."""

import ast
import os
import os.path as osp
import random
import sys
import tempfile
from collections import Counter
from typing import Dict, Tuple

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
from fuzzing import finish, fuzz_parser
from hostile_checkpoints import Attack, base_config, make_folder
from hostile_values import RUN
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmdckd.export import export_student
from mmdckd.registry import MODELS

EXAMPLE = """example:
  python studies/stress/fuzz_exports.py --cases 200 --seed 1
"""
OUTCOMES = (
    'exported',
    'refused',
    'code run',
    'file elsewhere',
    'file left',
    'traceback',
    'not plain values',
)
BAD = OUTCOMES[2:]


def files_below(folder: str) -> set:
    return {
        osp.join(root, name) for root, _, names in os.walk(folder) for name in names
    }


def judge(attack: Attack, states: Dict[str, torch.Tensor]) -> Tuple[str, str]:
    """Export the student of a checkpoint, and load the written files.

    Returns:
        Tuple[str, str]: The outcome, and what the error said.
    """
    folder, said = attack.folder, ''
    checkpoint = attack.save(states)
    before = files_below(folder.path)
    expected: set = set()
    try:
        done = export_student(checkpoint, folder.out, attack.student)
        expected = {done.config, done.checkpoint, done.safetensors} - {None}
        with open(done.config, encoding='utf-8') as file:
            for statement in ast.parse(file.read()).body:
                ast.literal_eval(statement.value)  # type: ignore
        Config.fromfile(done.config)
        content = torch.load(done.checkpoint, weights_only=True)
        Config.fromstring(content['meta']['cfg'], '.py')
        outcome = 'exported'
    except (FileNotFoundError, ValueError) as error:
        outcome, said = 'refused', str(error)
        if expected:
            outcome = 'not plain values'
    except Exception as error:
        outcome, said = 'traceback', f'{type(error).__name__}: {error}'
    new = {
        path for path in files_below(folder.path) - before if '__pycache__' not in path
    }
    inside = {path for path in new if path.startswith(folder.out + os.sep)}
    if osp.exists(folder.canary):
        outcome = 'code run'
    elif new - inside:
        outcome = 'file elsewhere'
    elif inside != expected:
        outcome = 'file left'
    for path in new:
        os.remove(path)
    os.remove(checkpoint)
    return outcome, said


def fuzz(cases: int, seed: int, folder: str, first: int = 0) -> dict:
    """Try all hostile checkpoints.

    Args:
        cases (int): The number of checkpoints.
        seed (int): The seed.
        folder (str): An empty folder to work in.
        first (int): The number of the first. Defaults to 0.

    Returns:
        dict: The number of checkpoints by outcome, and the failures.
    """
    where = make_folder(folder)
    os.environ['MMDCKD_FUZZ'] = f"'+str({RUN.format(canary=where.canary)})+'"
    sys.path.insert(0, folder)
    MMLogger.get_instance('fuzz').setLevel('ERROR')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = base_config()['model']['architecture']
        states = MODELS.build(dict(network)).state_dict()
    counts: Counter = Counter()
    kinds: Counter = Counter()
    failures = []
    try:
        for number in range(first, first + cases):
            attack = Attack(random.Random(f'{seed}-{number}'), where)
            outcome, said = judge(attack, states)
            counts[outcome] += 1
            kinds.update(attack.done)
            if outcome in BAD:
                failures.append(
                    dict(
                        case=number, outcome=outcome, done=attack.done, said=said[:300]
                    )
                )
            for name in [n for n in sys.modules if n.startswith('evil_')]:
                del sys.modules[name]
            if osp.exists(where.canary):
                os.remove(where.canary)
    finally:
        sys.path.remove(folder)
        del os.environ['MMDCKD_FUZZ']
    return dict(
        cases=cases,
        seed=seed,
        outcomes={name: counts[name] for name in OUTCOMES},
        attacks=dict(sorted(kinds.items())),
        failures=failures,
    )


def main() -> None:
    parser = fuzz_parser(__doc__, EXAMPLE, 2000)
    parser.add_argument('--first', type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(args.cases, args.seed, folder, args.first)
    finish(args, 'fuzz_exports', **result)


if __name__ == '__main__':
    main()
