# Copyright (c) mmdckd contributors. All rights reserved.
"""Change configs at random, and check that tools/train.py either runs or names the
wrong key in one message."""

import copy
import json
import os
import os.path as osp
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from fuzzing import finish, fuzz_parser
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tiny_configs import CONFIGS, REPO, tiny_config
from torch import nn

from mmdckd import registry
from mmdckd.cli import train

EXAMPLE = """example:
  python studies/stress/fuzz_configs.py --cases 50 --seed 1
"""
OUTCOMES = ('run', 'clear error', 'no key', 'traceback', 'hang', 'crash')
WRONG = (
    None,
    -1,
    0,
    1e9,
    -0.5,
    10**9,
    True,
    '',
    'nothing',
    [],
    {},
    [None],
    dict(type='Nothing'),
    'a' * 1000,
    float('nan'),
)
Path = Tuple[Any, ...]


class Case(NamedTuple):
    """A config with an error, and a description of the error."""

    name: str
    cfg: dict
    changes: List[str]
    paths: List[Path]


def all_paths(node: Any, path: Path = ()) -> List[Path]:
    """List the keys of all values in a config."""
    paths = [path] if path else []
    items = (
        node.items()
        if isinstance(node, dict)
        else (enumerate(node) if isinstance(node, list) else ())
    )
    for key, value in items:
        paths += all_paths(value, (*path, key))
    return paths


def parent_of(cfg: dict, path: Path) -> Any:
    for key in path[:-1]:
        cfg = cfg[key]
    return cfg


def typo(word: str, rng: random.Random) -> str:
    """Swap, drop or double a letter."""
    i = rng.randrange(len(word))
    return rng.choice(
        [
            word[:i] + word[i + 1 : 2 + i] + word[i] + word[i + 2 :],
            word[:i] + word[i + 1 :],
            word[:i] + word[i] + word[i:],
        ]
    )


def change(cfg: dict, rng: random.Random) -> Tuple[str, List[Path]]:
    """Add one error to a config, in place."""
    # In a third of the cases it is the model, which has the most keys.
    top = rng.choice([*cfg, *['model'] * (len(cfg) // 2)])
    if top not in cfg:
        top = rng.choice(list(cfg))
    path = rng.choice([p for p in all_paths(cfg) if p[0] == top])
    parent, key = parent_of(cfg, path), path[-1]
    value = parent[key]
    kinds = ['delete', 'replace', 'replace', 'swap']
    kinds += ['rename'] * isinstance(key, str)
    kinds += ['misspell'] * (isinstance(value, str) and value != '')
    kinds += ['negate', 'enlarge'] * (type(value) in (int, float))
    kind = rng.choice(kinds)
    where = '.'.join(map(str, path))
    if kind == 'delete':
        del parent[key]
    elif kind == 'rename':
        new = typo(key, rng)
        parent[new] = parent.pop(key)
        return f'rename {where} to {new}', [path, (*path[:-1], new)]
    elif kind == 'misspell':
        parent[key] = typo(value, rng)
    elif kind == 'negate':
        parent[key] = -value
    elif kind == 'enlarge':
        parent[key] = value * 10**9
    elif kind == 'swap':
        others = [
            p for p in all_paths(cfg) if p[: len(path)] != path and path[: len(p)] != p
        ]
        other = rng.choice(others)
        there = parent_of(cfg, other)
        parent[key], there[other[-1]] = there[other[-1]], value
        return f'swap {where} and {".".join(map(str, other))}', [path, other]
    else:
        parent[key] = copy.deepcopy(rng.choice(WRONG))
    shown = json.dumps(parent[key])[:60] if kind != 'delete' else ''
    return f'{kind} {where} {shown}'.strip(), [path]


def make_case(cfgs: Dict[str, dict], seed: str) -> Case:
    """Choose a config and an error."""
    rng = random.Random(seed)
    name = rng.choice(list(cfgs))
    cfg = copy.deepcopy(cfgs[name])
    changes, paths = [], []
    for _ in range(rng.choice([1, 1, 1, 2])):
        text, where = change(cfg, rng)
        changes.append(text)
        paths += where
    return Case(name, cfg, changes, paths)


def judge(case: Case, status: int, printed: str) -> str:
    """Classify the outcome of a process by its exit code and output."""
    if os.WIFSIGNALED(status):
        return 'crash'
    if os.WEXITSTATUS(status) == 0:
        return 'run'
    if 'Traceback (most recent call last)' in printed:
        return 'traceback'
    if '\nerror: ' not in f'\n{printed}':
        return 'crash'
    message = printed[f'\n{printed}'.rindex('\nerror: ') :]
    # Where, or what, is wrong; the name of a student whose loss is not finite.
    names = {str(path[0]) for path in case.paths}
    names |= {key for path in case.paths for key in path[-2:]}
    names = {name for name in names if isinstance(name, str)}
    if 'Not finite' in message or any(name in message for name in names):
        return 'clear error'
    return 'no key'


def run_case(case: Case, timeout: float, memory: int = 8 << 30) -> Tuple[str, str]:
    """Train with a config in a process of its own, up to its first
    validation.

    Returns:
        tuple: The outcome, and what was printed.
    """
    folder = tempfile.mkdtemp()
    path = osp.join(folder, 'config.json')
    with open(path, 'w') as file:
        json.dump(case.cfg, file)
    printed = osp.join(folder, 'printed')
    child = os.fork()
    if child == 0:
        _train(path, folder, printed, memory)
    deadline = time.monotonic() + timeout
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with open(printed, errors='replace') as file:
        text = file.read()
    shutil.rmtree(folder)
    return (judge(case, status, text) if ended else 'hang'), text


class Stopped(BaseException):
    """Ends a run that works; no error, which a command would report."""


class StopHook(Hook):
    """Stops a run after its first validation, or four iterations."""

    priority = 'LOWEST'

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        if runner.iter >= 3:
            raise Stopped

    def after_val_epoch(self, runner: Runner, *args, **kwargs) -> None:
        raise Stopped


def _stopping(train: Callable) -> Callable:
    def train_and_stop(runner: Runner) -> nn.Module:
        runner.register_hook(StopHook())
        return train(runner)

    return train_and_stop


def _train(path: str, folder: str, printed: str, memory: int) -> None:
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(REPO)
        file = os.open(printed, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = sys.stderr = os.fdopen(file, 'w', buffering=1)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        Runner.train = _stopping(Runner.train)
        train.main([path, '--work-dir', osp.join(folder, 'work_dir')])
        code = 0
    except Stopped:
        code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code or 0)


def main() -> None:
    parser = fuzz_parser(__doc__, EXAMPLE, 500)
    parser.add_argument('--first', type=int, default=0)
    parser.add_argument(
        '--timeout',
        type=float,
        default=120,
        help='the seconds after which a case hangs (default: %(default)s)',
    )
    parser.add_argument(
        '--show', action='store_true', help='print what every case printed'
    )
    args = parser.parse_args()
    cfgs = {name: tiny_config(name) for name in CONFIGS}
    # Imported once, not in each forked process.
    for kind in (registry.MODELS, registry.DATASETS, registry.HOOKS):
        kind.get('mmdckd.Nothing')
        kind.get('mmrazor.Nothing')
        kind.get('mmpretrain.Nothing')
    counts: Counter = Counter()
    failures = []
    for number in range(args.first, args.first + args.cases):
        case = make_case(cfgs, f'{args.seed}-{number}')
        outcome, printed = run_case(case, args.timeout)
        counts[outcome] += 1
        if args.show:
            end = printed[printed.rfind('\nerror: ') + 1 :][:500]
            print(f'{number} {outcome}: {case.name}: {case.changes}: {end}')
        if outcome not in ('run', 'clear error'):
            failures.append(
                dict(
                    case=number,
                    outcome=outcome,
                    config=case.name,
                    changes=case.changes,
                    printed=printed[-600:],
                )
            )
    finish(
        args,
        'fuzz_configs',
        cases=args.cases,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        failures=failures,
    )


if __name__ == '__main__':
    main()
