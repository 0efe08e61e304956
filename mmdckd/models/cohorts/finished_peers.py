# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable, Dict, List, Optional, Sequence, Union

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmdckd.io.checkpoints import (
    class_names_in,
    require_fit,
    state_dict_in,
    students_in,
)
from mmdckd.io.config_text import check_values
from mmdckd.names import finished_name, parameter_prefix

from ..distillers.recorders import MemberRecorder, Tensors
from ..losses.base_collective_loss import LOGITS
from ..networks import build_network, resolve_network
from ..options import invalid
from ..teachers import FrozenTeacher
from ..teachers.logits_cache import LogitsCache
from ..weights import read_checkpoint

KEY = 'model.finished_peers'


class FinishedPeers:
    """Networks that have finished their training, for students to learn from.

    Collective losses collect from them, in place of the students that train.
    Like a teacher they are frozen, in ``eval`` mode, and in no ``state_dict``,
    optimizer group, EMA copy or DDP bucket.

    Args:
        cfg (str | dict | Sequence[dict]): The checkpoint of a cohort, all of
            whose students are the peers; or the config of one network or
            several, with their weights as ``pretrained``. See
            :func:`~mmdckd.models.networks.resolve_network`. Beside these,
            ``blind_to`` is the fold that one was trained without; whether it
            is the fold of these images is not known then, and not checked.
        record (Callable): Attaches to a network what records the tensors that
            collective losses read of it.
        allow_random (bool): Whether networks without weights are accepted.
            Defaults to False.

    Attributes:
        networks (Dict[str, FrozenTeacher]): Name to peer.
        fold_of (List[int]): The fold to which each peer is blind, None of one
            that saw all; empty where their cohort had no folds.
        folds_digest (str): The hash of these folds.
        caches (Dict[str, LogitsCache]): Name to the logits of a peer, which
            then does not run; :class:`~mmdckd.engine.hooks.TeacherCacheHook`
            sets it. Defaults to none.

    Raises:
        ValueError: If there is no peer, or one has no weights that fit.
    """

    def __init__(
        self,
        cfg: Union[str, dict, Sequence[dict]],
        record: Callable[[BaseModel], MemberRecorder],
        allow_random: bool = False,
    ) -> None:
        self.fold_of: List[Optional[int]] = []
        self.folds_digest = ''
        # They take nothing from the students' stream of random numbers.
        with torch.random.fork_rng(devices=[]):
            if isinstance(cfg, str):
                content = read_checkpoint(cfg, KEY)
                networks = read_students(cfg, content)
                self._note_folds(content)
            else:
                networks = _build(cfg, allow_random)
                self.fold_of = _folds_in(cfg)
        self.networks = {
            finished_name(i): FrozenTeacher(each) for i, each in enumerate(networks)
        }
        self.caches: Dict[str, LogitsCache] = {}
        self._recorders = {
            name: record(peer.model) for name, peer in self.networks.items()
        }

    def _note_folds(self, content: dict) -> None:
        meta = content.get('meta') or {}
        fold_of, digest = meta.get('fold_of'), meta.get('folds')
        if isinstance(fold_of, dict) and isinstance(digest, str):
            self.fold_of = [fold_of.get(name) for name in _names_in(content)]
            self.folds_digest = digest

    def __len__(self) -> int:
        return len(self.networks)

    def __deepcopy__(self, memo: dict) -> 'FinishedPeers':
        """A copy of the holder, an EMA for instance, shares the peers."""
        return self

    def apply(self, fn: Callable) -> None:
        """Apply a device or type change, as ``nn.Module._apply`` does."""
        for peer in self.networks.values():
            peer.apply(fn)

    def __call__(
        self, inputs: torch.Tensor, samples: Optional[List[BaseDataElement]]
    ) -> List[Tensors]:
        """Run every peer, or look up what it said.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            samples (List[DataSample], optional): B data samples.

        Returns:
            List[Tensors]: What collective losses read of each of P peers: its
            logits (B, C).
        """
        return [{LOGITS: self._logits(name, inputs, samples)} for name in self.networks]

    def run(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """Run one peer.

        Args:
            name (str): Its name.
            inputs (Tensor): Preprocessed images (B, 3, H, W).

        Returns:
            Tensor: Its logits (B, C).
        """
        with self._recorders[name]:
            self.networks[name](inputs)
        return self._recorders[name].pop()[LOGITS]

    def _logits(
        self, name: str, inputs: torch.Tensor, samples: Optional[List[BaseDataElement]]
    ) -> torch.Tensor:
        if name not in self.caches:
            return self.run(name, inputs)
        return self.caches[name].look_up(
            inputs, samples, lambda inputs: self.run(name, inputs)
        )


def _build(cfgs: Union[dict, Sequence[dict]], allow_random: bool) -> List[BaseModel]:
    if not isinstance(cfgs, (dict, list, tuple)) or not cfgs:
        expected = 'the checkpoint of a cohort, or the configs of one or more networks'
        raise invalid(KEY, expected, cfgs)
    networks = []
    for i, cfg in enumerate(_as_list(cfgs)):
        network = {key: value for key, value in cfg.items() if key != 'blind_to'}
        spec = resolve_network(network, f'finished_peers[{i}]')
        if spec.new_head or not (spec.weights or allow_random):
            raise ValueError(
                f'Invalid `{KEY}[{i}]`: expected a network that has finished its '
                'training, with the path of its weights as `pretrained`, got '
                f'{"a new head" if spec.new_head else "none"}.'
            )
        networks.append(build_network(spec))
    return networks


def _folds_in(cfgs: Union[dict, Sequence[dict]]) -> List[Optional[int]]:
    """The fold to which each network is blind; none where no config says so."""
    folds = [cfg.get('blind_to') for cfg in _as_list(cfgs)]
    return [] if set(folds) == {None} else folds


def _as_list(cfgs: Union[dict, Sequence[dict]]) -> List[dict]:
    return [cfgs] if isinstance(cfgs, dict) else list(cfgs)


def read_students(path: str, content: dict) -> List[BaseModel]:
    """Build the students that the checkpoint of a cohort knows.

    Args:
        path (str): The checkpoint; nothing in it is run.
        content (dict): What it holds.

    Returns:
        List[BaseModel]: The students, with their weights.

    Raises:
        ValueError: If it is none of a cohort, was written by a version that
            did not keep the students' configs, or does not fit them.
    """
    weights, names = state_dict_in(content), _names_in(content)
    meta = content.get('meta')
    configs = meta.get('students') if isinstance(meta, dict) else None
    if not names or not isinstance(configs, dict) or not set(names) <= set(configs):
        raise ValueError(
            f'Invalid `{KEY}`: expected the checkpoint of a cohort that has the '
            f'configs of its students, got {path!r}. Give the exported students '
            "in its place, as [dict(cfg_path='student0.py', "
            "pretrained='student0.pth'), ...]."
        )
    students = []
    for name in names:
        check_values(configs[name], f'{path}: meta.students.{name}')
        spec = resolve_network(configs[name], f'{KEY}.{name}', trusted=False)
        network = build_network(spec)
        prefix = f'{parameter_prefix(name)}'
        own = {
            key[len(prefix) :]: value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
        require_fit(network, own, f'`{KEY}`: {name} of the checkpoint {path!r}')
        network.pretrained_classes = class_names_in(content)
        students.append(network)
    return students


def _names_in(content: dict) -> List[str]:
    return students_in(state_dict_in(content))
