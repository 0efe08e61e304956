# Copyright (c) mmdckd contributors. All rights reserved.
"""List the runs of a sweep."""

import copy
import functools
import hashlib
import json
import os.path as osp
import re
from dataclasses import dataclass
from glob import escape, glob
from typing import Dict, List, Optional, Tuple

from mmengine.config import Config

from mmdckd.engine.training_hooks import training_hooks
from mmdckd.io.config_file import read_config
from mmdckd.io.files import LONGEST_NAME, shortened
from mmdckd.io.latest import pointed_to
from mmdckd.names import BEST, metric_name

from .spec import Method, Recipe, Spec, Teacher

#: Settings of logging and saving, which do not change any result.
LOG_ONLY = (
    'default_hooks',
    'log_level',
    'log_processor',
    'vis_backends',
    'visualizer',
    'work_dir',
)


class Run:
    """One training and its final test.

    Runs with the same config, seed and teacher are the same run, whatever their
    names: a run continues in the folder that it has, under whatever name. A
    fingerprint of these ends the name of the folder, so a changed config never uses
    the results of another one. It leaves out :data:`LOG_ONLY`, except the default
    hooks that change a training. Changes of the code, and of the files that
    ``cfg_path`` names, are not detected; the results name the commit.

    Args:
        name (str): The name of the run.
        config (Config): Its config, without seed and teacher.
        fingerprint (str): Distinguishes the runs of one seed.
        seed (int): The seed.
        teacher (Run, optional): The run that trains the teacher.
        metric (str): The metric by which the best epoch is chosen.
        work_dir (str): The folder that contains the folders of all runs.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        fingerprint: str,
        seed: int,
        teacher: Optional['Run'],
        metric: str,
        work_dir: str,
    ) -> None:
        self.name = name
        self.config = config
        self.fingerprint = fingerprint
        self.seed = seed
        self.teacher = teacher
        self.metric = metric
        self.folder = osp.join(
            _folder_of(work_dir, name, fingerprint[:8]), f'seed{seed}'
        )

    def __str__(self) -> str:
        return f'{self.name}, seed {self.seed}'

    @property
    def config_file(self) -> str:
        """str: The file of the complete config, which ``tools/train.py`` can also
        run."""
        return osp.join(self.folder, 'config.py')

    @property
    def train_dir(self) -> str:
        """str: The work directory of MMEngine."""
        return osp.join(self.folder, 'train')

    @property
    def log_file(self) -> str:
        """str: The file with the output of the process."""
        return osp.join(self.folder, 'log.txt')

    @property
    def progress_file(self) -> str:
        """str: The file with the progress, from 0 to 1."""
        return osp.join(self.folder, 'progress.txt')

    @property
    def result_file(self) -> str:
        """str: The file with the result, which exists when the run is finished."""
        return osp.join(self.folder, 'result.json')

    @property
    def lock_file(self) -> str:
        """str: The file that the training process locks."""
        return self.folder + '.lock'

    @property
    def checkpoint(self) -> Optional[str]:
        """str, optional: The checkpoint of the last epoch, if the run is
        finished."""
        path = osp.join(self.train_dir, osp.basename(pointed_to(self.train_dir)))
        return path if osp.isfile(self.result_file) and osp.isfile(path) else None

    def complete_config(self, resume: bool) -> Config:
        """Return the config with this run's seed, teacher and folder.

        Args:
            resume (bool): Whether to continue from its last checkpoint.

        Returns:
            Config: The config that :mod:`.worker` runs.
        """
        cfg = copy.deepcopy(self.config)
        cfg.merge_from_dict({'randomness.seed': self.seed})
        cfg.work_dir = self.train_dir
        cfg.resume = resume
        cfg.launcher = 'none'
        if self.teacher is not None:
            cfg.model.teacher_ckpt = self.teacher.checkpoint
        keeper = dict(type='mmdckd.CohortCheckpointHook', interval=1)
        keeper.update(cfg.get('default_hooks', {}).get('checkpoint') or {})
        keeper.update(save_best=None, max_keep_ckpts=1)
        if cfg.get('val_cfg') is not None:
            keeper.update(save_best=self._monitor(cfg), rule='greater')
        cfg.merge_from_dict({'default_hooks.checkpoint': keeper})
        return cfg

    def _monitor(self, cfg: Config) -> str:
        if not cfg.val_cfg.get('type', '').endswith('CollectiveValLoop'):
            return self.metric
        # The best student is chosen by the metric of the sweep.
        cfg.val_cfg.monitor = self.metric
        cfg.test_cfg.monitor = self.metric
        return metric_name(BEST, self.metric)


@dataclass(frozen=True)
class Entry:
    """A result that the report needs, and the run that produces it.

    Attributes:
        role (str): 'teacher' or 'method'.
        pair (str): The pair of a method; '' if there is only one.
        name (str): The teacher's or method's name.
        seed (int): The seed of the run.
        run (Run): The run. Entries of the same training share it.
        keep_curves (bool): Whether the metrics of all its validations are
            stored with its result and drawn.
    """

    role: str
    pair: str
    name: str
    seed: int
    run: Run
    keep_curves: bool

    @property
    def key(self) -> Tuple[str, str, str, int]:
        """Tuple: The key that identifies this entry."""
        return self.role, self.pair, self.name, self.seed


def make_plan(spec: Spec, work_dir: str) -> List[Entry]:
    """List the results that a sweep needs and the runs that produce them.

    Args:
        spec (Spec): The sweep.
        work_dir (str): The folder that contains the folders of all runs.

    Returns:
        List[Entry]: Teachers first, then all methods seed by seed.

    Raises:
        ValueError: If a config lacks a key that a sweep needs.
    """
    return _Planner(spec, work_dir).plan()


class _Planner:
    def __init__(self, spec: Spec, work_dir: str) -> None:
        self.spec = spec
        self.work_dir = work_dir
        self.runs: Dict[Tuple[str, int], Run] = {}
        self.names: Dict[str, str] = {}

    def plan(self) -> List[Entry]:
        configs = [
            _resolve(f'methods.{method.name}', method.recipe)
            for method in self.spec.methods
        ]
        teacher_configs = {
            name: _resolve(f'teachers.{name}', teacher.recipe)
            for name, teacher in self.spec.teachers.items()
        }
        teachers: Dict[Tuple[str, int], Entry] = {}
        methods = []
        for seed in self.spec.seeds:
            for method, config in zip(self.spec.methods, configs):
                taught_by = None
                teacher = self._teacher_of(method, config)
                if teacher is not None:
                    its_seed = teacher.seed if isinstance(teacher.seed, int) else seed
                    taught_by = self._run(
                        teacher.name, teacher_configs[teacher.name], its_seed
                    )
                    teachers[teacher.name, its_seed] = Entry(
                        'teacher', '', teacher.name, its_seed, taught_by, False
                    )
                name = ' '.join(filter(None, [method.pair, method.name]))
                run = self._run(name, config, seed, taught_by)
                methods.append(
                    Entry(
                        'method', method.pair, method.name, seed, run, not method.group
                    )
                )
        return [*teachers.values(), *methods]

    def _teacher_of(self, method: Method, config: Config) -> Optional[Teacher]:
        if config.model.get('teacher') is None or not self.spec.teachers:
            return None
        if method.teacher is None:
            raise ValueError(
                f'Invalid `methods.{method.name}`: expected `teacher`, of the method '
                f'or of its pair, to be one of {list(self.spec.teachers)}, as its '
                'config has a teacher, got none.'
            )
        return self.spec.teachers[method.teacher]

    def _run(
        self, name: str, config: Config, seed: int, teacher: Optional[Run] = None
    ) -> Run:
        fingerprint = _fingerprint(config, teacher, self.spec.metric)
        if (fingerprint, seed) not in self.runs:
            self.runs[fingerprint, seed] = Run(
                self.names.setdefault(fingerprint, name),
                config,
                fingerprint,
                seed,
                teacher,
                self.spec.metric,
                self.work_dir,
            )
        return self.runs[fingerprint, seed]


def _folder_of(work_dir: str, name: str, ending: str) -> str:
    """Return the folder of a run's seeds, which may have been named otherwise."""
    plain = shortened(re.sub(r'[^\w.=-]+', '_', name), LONGEST_NAME - len(ending) - 1)
    folder = osp.join(work_dir, f'{plain}-{ending}')
    if osp.isdir(folder):
        return folder
    others = glob(osp.join(escape(work_dir), f'*-{ending}'))
    return min(others, default=folder)


def _resolve(where: str, recipe: Recipe) -> Config:
    """Return the config of a recipe, as ``tools/train.py`` would run it."""
    config = copy.deepcopy(_read(recipe.configs[0]))
    try:
        for path in recipe.configs[1:]:
            config.merge_from_dict(_read(path).to_dict())
        for options in recipe.cfg_options:
            # MMEngine changes the settings that it merges.
            config.merge_from_dict(copy.deepcopy(options))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'Invalid `{where}`: expected configs and `cfg_options` that can be '
            f'merged, got {error}'
        ) from error
    for key in ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        if config.get(key) is None:
            raise ValueError(
                f'Invalid `{where}`: expected a config with `{key}`, as a sweep '
                'tests after training, got one without.'
            )
    return config


@functools.cache
def _read(path: str) -> Config:
    """Read a config once, as many methods share a file.

    Classes of a lazy config become their names, as in the file for its run.
    """
    return Config(read_config(path).to_dict())


def _fingerprint(config: Config, teacher: Optional[Run], metric: str) -> str:
    """Compute a fingerprint of everything in a training except its seed."""
    content = {
        key: value for key, value in config.to_dict().items() if key not in LOG_ONLY
    }
    content['randomness'] = {
        key: value
        for key, value in content.get('randomness', {}).items()
        if key != 'seed'
    }
    # These keys have to match the committed results.
    if training_hooks(config):
        content['default_hooks'] = training_hooks(config)
    content['benchmark_metric'] = metric
    if teacher is not None:
        content['benchmark_teacher'] = [teacher.fingerprint, teacher.seed]
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
