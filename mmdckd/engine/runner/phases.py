# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs with several phases, where later phases learn from earlier ones."""

import copy
import hashlib
import json
import os
import os.path as osp
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Callable, List, Optional

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.runner import Runner

from mmdckd.console.messages import tell
from mmdckd.io.data import read_json
from mmdckd.io.files import write_text
from mmdckd.io.latest import POINTER, pointed_to
from mmdckd.models.cohorts.fold_plan import build_fold_plan
from mmdckd.names import in_order, student_names

from ..saving import checkpoint_folder
from ..training_hooks import training_hooks
from .building import build_runner
from .phase_checkpoints import check_last_epoch, save_apart
from .rehearsal import rehearse
from .stretching import stretch_training

#: The config keys that identify a phase when a run is resumed, by notes of older
#: versions and of this one.
_OLD_KEYS = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'randomness')
_KEYS = (*_OLD_KEYS, 'data_preprocessor', 'auto_scale_lr', 'custom_hooks', 'sync_bn')
_OLD_LOADER_KEYS = ('dataset', 'batch_size', 'sampler')
_LOADER_KEYS = (*_OLD_LOADER_KEYS, 'batch_sampler', 'drop_last')
_NOTE = 'phase.json'
_SEEDS_APART = 1000
_LARGEST_NOTE = 4096


@dataclass(frozen=True)
class Phase:
    """One training of a run with phases.

    Attributes:
        name (str): ``phase0``, ``phase1``, ...
        config (Config): The complete config of the training.
    """

    name: str
    config: Config

    @property
    def checkpoint(self) -> str:
        """str: The checkpoint of its last epoch; '' until it has finished."""
        note = self._note()
        if not note:
            return ''
        return osp.normpath(osp.join(self.config.work_dir, note['checkpoint']))

    def has_finished(self) -> bool:
        """Return whether it was trained to the end.

        Raises:
            ValueError: If it was trained with another config.
        """
        note = self._note()
        known = _fingerprint(self.config), _fingerprint(self.config, old=True)
        if note and note['config'] not in known:
            raise ValueError(
                f'Invalid `phases`: expected the config that {self.name} in '
                f'{self.config.work_dir!r} was trained with, got another. Train in '
                'another `work_dir`, or without `resume`.'
            )
        return bool(note)

    def forget(self) -> None:
        """Remove what names the checkpoints of an earlier run in its folder, which
        this run must neither skip nor resume."""
        for name in (_NOTE, POINTER):
            with suppress(FileNotFoundError):
                os.remove(osp.join(self.config.work_dir, name))

    def finish(self, folder: str) -> None:
        """Record that it has finished.

        Args:
            folder (str): The folder of its checkpoints, which need not be its
                work folder.

        Raises:
            ValueError: If it has saved no checkpoint.
        """
        work_dir = self.config.work_dir
        name = osp.basename(pointed_to(work_dir))
        if not name:
            raise ValueError(
                'Invalid `default_hooks.checkpoint`: expected a hook that saves the '
                f'last epoch of {self.name}, which a later phase learns from, got '
                'none.'
            )
        path = osp.join(folder, name)
        # Relative, so that a work folder can be moved.
        note = dict(
            config=_fingerprint(self.config), checkpoint=osp.relpath(path, work_dir)
        )
        write_text(osp.join(work_dir, _NOTE), json.dumps(note))

    def _note(self) -> dict:
        path = osp.join(self.config.work_dir, _NOTE)
        return read_json(path, _LARGEST_NOTE) if osp.isfile(path) else {}


def phases_of(cfg: Config) -> List[Phase]:
    """Return the trainings that a config asks for, in order.

    Each item of ``cfg.phases`` overrides settings of the config, in the format
    of ``--cfg-options``. All phases but the last train in their own folder below
    ``work_dir``, named ``phase0`` and so on, and save below the folder of the run
    in ``checkpoint.out_dir``, if it is set. ``times=4`` makes the training and
    the schedules of its learning rate four times as long.
    ``model.finished_peers='phase0'`` stands for the students of that phase after
    its last epoch. The last phase uses the seed of the config, and each phase
    before it a seed that is 1,000 larger than the next one's, so that no student
    starts equal to its own finished peer.

    Args:
        cfg (Config): The config of the run.

    Returns:
        List[Phase]: The phases; a single one if the config has no ``phases``.

    Raises:
        ValueError: If ``phases`` is not a list of dicts, or a phase learns from
            one that does not come before it.
    """
    overrides = cfg.get('phases')
    if overrides is None:
        return [Phase('phase0', cfg)]
    if (
        not isinstance(overrides, (list, tuple))
        or not overrides
        or not all(isinstance(each, dict) for each in overrides)
    ):
        raise ValueError(
            'Invalid `phases`: expected a list of dicts, one with the settings of '
            f'each phase, got {overrides!r}.'
        )
    base = copy.deepcopy(cfg)
    base.pop('phases')
    phases: List[Phase] = []
    for index, settings in enumerate(overrides):
        config = copy.deepcopy(base)
        settings = copy.deepcopy(dict(settings))
        times = settings.pop('times', 1)
        config.merge_from_dict(settings)
        stretch_training(config, times, f'phases[{index}].times')
        name, is_last = f'phase{index}', index == len(overrides) - 1
        if not is_last:
            config.work_dir = osp.join(cfg.get('work_dir') or '', name)
            config.experiment_name = _experiment_name(cfg, name)
            config.load_from = None
            save_apart(config, cfg.get('work_dir') or '')
            _add_to_seed(config, _SEEDS_APART * (len(overrides) - 1 - index))
        _check_peers(config.model.get('finished_peers'), index)
        phases.append(Phase(name, config))
    return phases


def train_phases(
    cfg: Config, train: Optional[Callable[[Config], Runner]] = None
) -> Runner:
    """Train the phases of a config, one after another.

    Args:
        cfg (Config): The config. With ``resume``, phases that have finished
            are not trained again. Without it, nothing of an earlier run in the
            same folder counts as finished.
        train (Callable, optional): Trains with the config of a phase, and
            returns the runner. Defaults to None: :func:`.build_runner` and its
            ``train``.

    Returns:
        Runner: The runner of the last phase.

    Raises:
        ValueError: As in :func:`phases_of`, and if a finished phase was trained
            with another config, or a phase before the last one does not save its
            last epoch.
    """
    train = train or _train
    phases = phases_of(cfg)
    left = _unfinished(phases) if cfg.get('resume') else phases
    if len(left) > 1:
        for phase in left:
            runner = rehearse(with_untrained_peers(phase, phases))
            if phase is not left[-1]:
                check_last_epoch(runner, phase.name)
        del runner  # its networks need memory
        if is_main_process():
            # A phase begins after those before it have finished.
            for phase in left[1:] if cfg.get('resume') else left:
                phase.forget()
        barrier()
    for phase in left[:-1]:
        runner = train(_to_train(phase, phases))
        folder = checkpoint_folder(runner)
        del runner  # the next phase needs the memory of its networks
        if is_main_process():
            phase.finish(folder)
        barrier()
    return train(_to_train(left[-1], phases))


def last_phase(cfg: Config) -> Config:
    """Return the config of the last phase, whose students the run is for.

    Args:
        cfg (Config): The config of the run.

    Returns:
        Config: The config, with the checkpoints of earlier phases if these have
        finished.
    """
    phases = phases_of(cfg)
    return _with_peers(phases[-1], phases)


def with_untrained_peers(phase: Phase, phases: List[Phase]) -> Config:
    """Return the config of a phase with untrained peers in place of the
    students of the phase that it learns from: to inspect, not to train."""
    cfg = copy.deepcopy(phase.config)
    index = _index_of(cfg.model.get('finished_peers'))
    if index is not None:
        model = phases[index].config.model
        students = model.get('students') or dict.fromkeys(
            student_names(model.get('num_students', 1)), model.get('architecture')
        )
        plan = build_fold_plan(model.get('folds'), in_order(students))
        fold_of = plan.fold_of if plan else {}
        # Copies, because `dict` would turn the names of a lazy config into classes.
        peers = [copy.deepcopy(students[name]) for name in in_order(students)]
        for name, peer in zip(in_order(students), peers):
            peer['blind_to'] = fold_of.get(name)
        cfg.model.finished_peers = peers
    return cfg


def _train(cfg: Config) -> Runner:
    runner = build_runner(cfg)
    runner.train()
    return runner


def _unfinished(phases: List[Phase]) -> List[Phase]:
    """Return the phases from the first one that has not finished on; the last one
    always counts."""
    for index, phase in enumerate(phases[:-1]):
        if not phase.has_finished():
            return phases[index:]
    return phases[-1:]


def _to_train(phase: Phase, phases: List[Phase]) -> Config:
    """Return the config to train a phase with."""
    cfg = _with_peers(phase, phases)
    resumes = cfg.get('resume') is True and not cfg.get('load_from')
    if len(phases) > 1 and resumes and not pointed_to(cfg.work_dir):
        # It has saved nothing yet: other checkpoints are of an earlier run.
        tell(f'{cfg.work_dir} names no checkpoint: {phase.name} starts anew.')
        cfg.resume = False
    return cfg


def _with_peers(phase: Phase, phases: List[Phase]) -> Config:
    """Return the config of a phase with the checkpoint that it learns from."""
    cfg = copy.deepcopy(phase.config)
    index = _index_of(cfg.model.get('finished_peers'))
    if index is not None:
        cfg.model.finished_peers = phases[index].checkpoint
    return cfg


def _experiment_name(cfg: Config, phase: str) -> str:
    # MMEngine calls a run by its config and the second of its start, and runs
    # of one name share their logs and histories.
    name = (
        cfg.get('experiment_name') or osp.splitext(osp.basename(cfg.filename or ''))[0]
    )
    return f'{name}_{phase}' if name else phase


def _add_to_seed(cfg: Config, number: int) -> None:
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None:
        cfg.randomness.seed = seed + number


def _index_of(peers: Any) -> Any:
    found = re.fullmatch(r'phase(\d+)', peers) if isinstance(peers, str) else None
    return int(found[1]) if found else None


def _check_peers(peers: Any, index: int) -> None:
    named = _index_of(peers)
    if named is not None and named >= index:
        before = ' or '.join(f"'phase{i}'" for i in range(index)) or 'None'
        raise ValueError(
            f'Invalid `phases[{index}].model.finished_peers`: expected {before}, '
            f'got {peers!r}.'
        )


def _fingerprint(cfg: Config, old: bool = False) -> str:
    """Return a hash of the settings that change the result of a training, or, if
    ``old``, of those that older versions recorded."""
    content = cfg.to_dict()
    loader = content.get('train_dataloader') or {}
    keys = _OLD_KEYS if old else _KEYS
    loader_keys = _OLD_LOADER_KEYS if old else _LOADER_KEYS
    parts = [content.get(key) for key in keys]
    parts += [loader.get(key) for key in loader_keys]
    if not old:
        parts.append(training_hooks(cfg))
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
