# Copyright (c) mmdckd contributors. All rights reserved.
"""Build hostile checkpoints of cohorts."""

import copy
import os
import os.path as osp
import random
from typing import Any, Dict, List, NamedTuple, Tuple

import mmdckd  # isort: skip
import torch
from hostile_values import BREAKOUTS, NAMES, ODD, RUN, TYPES

from mmdckd.names import parameter_prefix

Tree = Any


class Folder(NamedTuple):
    """The folders of a case.

    Attributes:
        path (str): The folder that contains everything.
        canary (str): The file that exists only if code has run.
        out (str): The folder to export students to.
    """

    path: str
    canary: str
    out: str


def make_folder(path: str) -> Folder:
    """Create a folder with files that a checkpoint could name."""
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
    """Return the config of a cohort of two small students."""
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
    """List the keys of all values in a config."""
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
    """List all dicts in a config."""
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
        rng (random.Random): Chooses the attack.
        folder (Folder): The folders of the case.
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
        """Store the students' configs in half of the files, as newer versions do."""
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
        """Name a type that is not part of a network."""
        self.rng.choice(dicts_of(self.cfg))['type'] = self.rng.choice(TYPES)

    def scope(self) -> None:
        """Name a package as a scope."""
        self.rng.choice(dicts_of(self.cfg))['_scope_'] = self.rng.choice(
            ['evil_module', 'os', 'mmdet', 'mmrazor', 3, self.text()]
        )

    def path(self) -> None:
        """Name files that would be executed or loaded."""
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
        """Give a student a name that leads outside the folder."""
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
        """Plant an object that is not a config value."""
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
        """Plant text in the metadata of the run."""
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
        """Remove a part."""
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
