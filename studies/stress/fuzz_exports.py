# Copyright (c) mmdckd contributors. All rights reserved.
"""Export students of hostile checkpoints, load what was written, and see
whether anything runs or is written elsewhere."""

import ast
import copy
import os
import os.path as osp
import random
import sys
import tempfile
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Tuple

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # isort: skip  # noqa: F401
import torch
from fuzzing import finish, fuzz_parser
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmdckd.export import export_student
from mmdckd.names import parameter_prefix
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
RUN = "open({canary!r}, 'w').close()"
# Text that leaves a string, a key, a comment or a file name.
BREAKOUTS = (
    'a\n{run}\n#',
    "a'\n{run}\nb='",
    "a': 0}}\n{run}\n#",
    'a=0)\n{run}\n(',
    "'+str({run})+'",
    "' + str({run}) + '",
    '"""\n{run}\n"""',
    'a\r{run}\r#',
    'a\r\n{run}\r\n',
    'a\x0c\n{run}',
    'a\u2028{run}',
    '{{{{ fileDirname }}}}',
    "{{{{$MMDCKD_FUZZ:'}}}}",
    '{{{{ $MMDCKD_FUZZ:x }}}}',
    '{{{{ _base_.model }}}}',
    '\\\n{run}\n',
    "\\'\n{run}\n'",
    'a\0b',
    '\ud800',
    '# coding: utf-7\n{run}',
    'class',
    '__import__',
    'a b',
    '',
    '1a',
    'dict(type={run})',
    "{{'a': {run}}}",
    'filename',
    'text',
    '_base_',
    '_delete_',
    '\u202e{run}',
)
NAMES = (
    '../a',
    '../../a',
    '/a',
    '{folder}/elsewhere/a',
    'a/../../b',
    'a/b',
    '..',
    '',
    '.',
    '~/a',
    'a\nb',
    'a\\b',
    'a:b',
    '-a',
    'a' * 300,
    'teacher',
    'best',
    'a\u202eb',
    '%2e%2e/a',
    'a;b',
    '$HOME',
    '`a`',
)
TYPES = (
    'os.system',
    'evil_module',
    'evil_module.Thing',
    'subprocess.Popen',
    'builtins.exec',
    'mmengine.utils.install_package',
    'torch.load',
    'mmdckd.__main__.main',
    'torch.hub.load',
    'posix.system',
    'Nothing',
    'mmengine.Config',
    'mmpretrain.evil_module',
    '.',
    'a..b',
)
ODD = (
    float('nan'),
    float('inf'),
    10**400,
    -1,
    0,
    None,
    True,
    b'a',
    {1},
    1e308,
    {},
    [],
    (),
    [[[[]]]],
    {1: 2},
    {None: 1},
    {('a',): 1},
    ...,
    1j,
    'x' * 5000,
)
Tree = Any


class Folder(NamedTuple):
    """Where a case happens.

    Attributes:
        path (str): All of it.
        canary (str): The file that code would make.
        out (str): Where students are exported to.
    """

    path: str
    canary: str
    out: str


def make_folder(path: str) -> Folder:
    """A folder with files that a checkpoint could name."""
    folder = Folder(path, osp.join(path, 'canary'), osp.join(path, 'in', 'out'))
    run = RUN.format(canary=folder.canary)
    for name, text in {
        'evil.py': f'{run}\nmodel = dict(type="ImageClassifier")\n',
        'evil_module/__init__.py': f'{run}\n',
        'evil_module/registry.py': f'{run}\n',
        'inherits.py': '_base_ = "evil.py"\nmodel = dict()\n',
    }.items():
        os.makedirs(osp.dirname(osp.join(path, name)), exist_ok=True)
        with open(osp.join(path, name), 'w') as file:
            file.write(text)
    os.makedirs(osp.join(path, 'elsewhere'))
    return folder


def base_config() -> Dict[str, Any]:
    """The config of a cohort of two small students."""
    network = dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=32,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )
    return dict(
        default_scope='mmpretrain',
        model=dict(
            type='mmdckd.CollectiveDistill', architecture=network, num_students=2
        ),
        data_preprocessor=dict(mean=[1.0], std=[2.0], num_classes=10),
        test_dataloader=dict(
            batch_size=2,
            dataset=dict(
                type='mmdckd.Digits',
                pipeline=[dict(type='Resize', scale=12), dict(type='PackInputs')],
            ),
        ),
        test_evaluator=dict(type='Accuracy', topk=(1,)),
        custom_imports=dict(imports=['mmpretrain.models']),
    )


def all_places(tree: Tree, path: Tuple = ()) -> List[Tuple]:
    """The places of everything in a config."""
    places = [path] if path else []
    items = (
        tree.items()
        if isinstance(tree, dict)
        else (enumerate(tree) if isinstance(tree, list) else ())
    )
    for key, value in items:
        places += all_places(value, (*path, key))
    return places


def parent_of(tree: Tree, path: Tuple) -> Tree:
    for key in path[:-1]:
        tree = tree[key]
    return tree


def dicts_of(tree: Tree) -> List[dict]:
    """All dicts in a config."""
    found = [tree] if isinstance(tree, dict) else []
    for value in (
        tree.values()
        if isinstance(tree, dict)
        else tree
        if isinstance(tree, list)
        else ()
    ):
        found += dicts_of(value)
    return found


class Attack:
    """One hostile checkpoint.

    Args:
        rng (random.Random): What it is chosen by.
        folder (Folder): Where it happens.
    """

    def __init__(self, rng: random.Random, folder: Folder) -> None:
        self.rng = rng
        self.folder = folder
        self.run = RUN.format(canary=folder.canary)
        self.cfg: Tree = base_config()
        self.student = 'student0'
        self.file = 'epoch_1.pth'
        self.prefix, self.suffix = '', ''
        self.meta: Dict[str, Any] = dict(
            epoch=1, dataset_meta=dict(classes=[str(i) for i in range(10)])
        )
        self.done: List[str] = []
        kinds = [
            self.key,
            self.key,
            self.value,
            self.value,
            self.type,
            self.scope,
            self.path,
            self.name,
            self.name,
            self.odd,
            self.statement,
            self.describe,
            self.source,
            self.delete,
        ]
        for _ in range(rng.choice([1, 1, 2, 3])):
            kind = rng.choice(kinds)
            kind()
            self.done.append(kind.__name__)
        self._tell_students()

    def _tell_students(self) -> None:
        """Say in half of the files, as newer ones do, what students are."""
        model = self.cfg.get('model')
        if self.rng.random() < 0.5 and isinstance(model, dict):
            told = model.get('students') or {self.student: model.get('architecture')}
            self.meta['students'] = copy.deepcopy(told)

    def text(self) -> str:
        return self.rng.choice(BREAKOUTS).format(run=self.run)

    def place(self) -> Tuple[Tree, Any]:
        path = self.rng.choice(all_places(self.cfg))
        return parent_of(self.cfg, path), path[-1]

    def key(self) -> None:
        """Plant text as a key."""
        self.rng.choice(dicts_of(self.cfg))[self.text()] = self.rng.choice(
            [1, 'a', {}, [1]]
        )

    def value(self) -> None:
        """Plant text as a value."""
        parent, key = self.place()
        parent[key] = self.text()

    def type(self) -> None:
        """Name a type that is no part of a network."""
        self.rng.choice(dicts_of(self.cfg))['type'] = self.rng.choice(TYPES)

    def scope(self) -> None:
        """Name a package to look in."""
        self.rng.choice(dicts_of(self.cfg))['_scope_'] = self.rng.choice(
            ['evil_module', 'os', 'mmdet', 'mmrazor', 3, self.text()]
        )

    def path(self) -> None:
        """Name files that would be run or loaded."""
        evil = osp.join(self.folder.path, 'evil.py')
        relative = osp.relpath(evil, osp.dirname(mmdckd.__file__))
        model = self.cfg.setdefault('model', {})
        if not isinstance(model, dict):
            return
        self.rng.choice(
            [
                lambda: model.update(
                    architecture=dict(
                        cfg_path=self.rng.choice(
                            [
                                evil,
                                f'mmpretrain::{evil}',
                                f'mmpretrain::{relative}',
                                f'mmdckd::{relative}',
                                'evil_module::evil.py',
                                osp.join(self.folder.path, 'inherits.py'),
                                'mmdet::a/b.py',
                            ]
                        )
                    )
                ),
                lambda: self.cfg.update(_base_=evil),
                lambda: model.update(_base_=evil),
                lambda: self.cfg.update(custom_imports=dict(imports=['evil_module'])),
                lambda: model.update(init_cfg=dict(type='Pretrained', checkpoint=evil)),
            ]
        )()

    def name(self) -> None:
        """Call a student what leads elsewhere."""
        self.student = self.rng.choice(
            [
                self.rng.choice(NAMES).format(folder=self.folder.path),
                self.text(),
                osp.relpath(
                    osp.join(self.folder.path, 'elsewhere', 'a'), self.folder.out
                ),
            ]
        )
        if self.rng.random() < 0.5:
            model = self.cfg['model'] if isinstance(self.cfg.get('model'), dict) else {}
            model['students'] = {self.student: model.get('architecture')}

    def odd(self) -> None:
        """Plant something that is no value of a config."""
        parent, key = self.place()
        parent[key] = copy.deepcopy(self.rng.choice(ODD))

    def statement(self) -> None:
        """Add a statement to the text."""
        text = self.rng.choice(
            [
                self.run,
                f'a = {self.run}',
                f'model["a"] = {self.run}',
                f'class A:\n    {self.run}',
                'import evil_module',
                f'a = [{self.run} for i in (1,)]',
                f'a: {self.run} = 1',
                f'a = f"{{{self.run}}}"',
                f'def f(a={self.run}): pass',
                f'a = dict(b={self.run})',
                f'@{self.run}\nclass A: pass',
                'a = ' + '(' * 150 + ')' * 150,
                'a = ' + '-' * 100000 + '1',
                'a = ' + '[' * 90 + ']' * 90,
                'a = ' + '1+' * 100000 + '1',
                'a = b' + '.c' * 100000,
            ]
        )
        if self.rng.random() < 0.5:
            self.prefix = text + '\n'
        else:
            self.suffix = '\n' + text + '\n'

    def describe(self) -> None:
        """Plant text in what is said of the run."""
        self.meta[
            self.rng.choice(
                ['epoch', 'iter', 'seed', 'experiment_name', 'dataset_meta']
            )
        ] = self.rng.choice(
            [
                self.text(),
                dict(classes=[self.text()] * 10),
                dict(classes=self.text()),
                10**50,
                [self.text()],
                dict(classes={self.text(): 1}),
            ]
        )

    def source(self) -> None:
        """Plant text in the name of the file."""
        name = self.text().replace('/', '_').replace('\0', '_')
        self.file = 'a' + name.encode(errors='replace').decode()[:60] + '.pth'

    def delete(self) -> None:
        """Leave something out."""
        parent, key = self.place()
        del parent[key]

    def save(self, states: Dict[str, torch.Tensor]) -> str:
        """Write the checkpoint, and return its path."""
        lines = [f'{key} = {value!r}' for key, value in self.cfg.items()]
        content = dict(
            meta=dict(self.meta, cfg=self.prefix + '\n'.join(lines) + self.suffix),
            state_dict={
                f'{parameter_prefix(self.student)}{key}': value
                for key, value in states.items()
            },
        )
        path = osp.join(self.folder.path, self.file)
        torch.save(content, path)
        return path


def files_below(folder: str) -> set:
    return {
        osp.join(root, name) for root, _, names in os.walk(folder) for name in names
    }


def judge(attack: Attack, states: Dict[str, torch.Tensor]) -> Tuple[str, str]:
    """Export the student of a checkpoint, and load what was written.

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
    """Try hostile checkpoints.

    Args:
        cases (int): How many.
        seed (int): The seed.
        folder (str): An empty folder to work in.
        first (int): The number of the first. Defaults to 0.

    Returns:
        dict: How many had which outcome, and those that should not be.
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
