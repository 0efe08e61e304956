# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmdckd.errors import invalid
from mmdckd.io.checkpoints import (
    class_names_in,
    require_fit,
    state_dict_in,
    students_in,
)
from mmdckd.io.config_text import check_values
from mmdckd.names import finished_name, parameter_prefix
from mmdckd.values import is_whole

from ..distillers.recorders import MemberRecorder, Tensors
from ..losses.base_collective_loss import LOGITS
from ..networks import NetworkSpec, build_network, resolve_network
from ..teachers import FrozenTeacher
from ..teachers.building import weights_of
from ..teachers.cached_logits import CachedLogits
from ..teachers.input_adapter import InputAdapter
from ..weights import check_pretrained_parts, read_checkpoint

KEY = 'model.finished_peers'


class FinishedPeers:
    """Trained, frozen networks that students learn from as peers.

    Collective losses combine their predictions in place of those of the
    students. Like a teacher, they are frozen, in ``eval`` mode, and in no
    ``state_dict``, optimizer group, EMA copy or DDP bucket.

    Args:
        cfg (str | dict | Sequence[dict]): The checkpoint of a cohort, whose
            students become the peers; or the config of one or more networks,
            with their weights as ``pretrained``; see
            :func:`~mmdckd.models.networks.resolve_network`. A network config
            may also have ``blind_to``, the fold that the network was trained
            without; it is not checked that this is a fold of these images.
        record (Callable): Attaches a recorder of the logits to a network.
        allow_random (bool): Whether networks without weights are accepted.
            Defaults to False.

    Attributes:
        networks (Dict[str, FrozenTeacher]): Name to peer.
        fold_of (List[int]): The fold each peer is blind to, None for a peer
            that saw all images; empty if their cohort had no folds.
        folds_digest (str): The hash of these folds; empty if it is unknown.
        caches (Dict[str, CachedLogits]): Name to the cached logits of a peer,
            which then does not run;
            :class:`~mmdckd.engine.hooks.TeacherCacheHook` sets it. Empty by
            default.

    Raises:
        ValueError: If there is no peer, the weights of one are missing or do
            not fit, or ``blind_to`` is not a fold.
    """

    def __init__(
        self,
        cfg: Union[str, dict, Sequence[dict]],
        record: Callable[[BaseModel], MemberRecorder],
        allow_random: bool = False,
    ) -> None:
        self.fold_of: List[Optional[int]] = []
        self.folds_digest = ''
        # Building them must not advance the students' random stream.
        with torch.random.fork_rng(devices=[]):
            if isinstance(cfg, str):
                content = read_checkpoint(cfg, KEY)
                peers = read_students(cfg, content)
                self._note_folds(content)
            else:
                peers = _build(cfg, allow_random)
                self.fold_of = _folds_in(cfg)
        self.networks = {finished_name(i): peer for i, peer in enumerate(peers)}
        self.caches: Dict[str, CachedLogits] = {}
        self._recorders = {
            name: record(peer.model) for name, peer in self.networks.items()
        }

    def _note_folds(self, content: dict) -> None:
        meta = content.get('meta') or {}
        fold_of, digest = meta.get('fold_of'), meta.get('folds')
        if isinstance(fold_of, dict) and isinstance(digest, str):
            folds = [fold_of.get(name) for name in _names_in(content)]
            # Students that had finished peers saw all images.
            if set(folds) != {None} and all(map(_is_fold, folds)):
                self.fold_of = folds
                self.folds_digest = digest

    def __len__(self) -> int:
        return len(self.networks)

    def __deepcopy__(self, memo: dict) -> 'FinishedPeers':
        """Share the peers with copies of the model, such as an EMA."""
        return self

    def apply(self, fn: Callable) -> None:
        """Apply a device or type change, as ``nn.Module._apply`` does."""
        for peer in self.networks.values():
            peer.apply(fn)

    def __call__(
        self, inputs: torch.Tensor, samples: Optional[List[BaseDataElement]]
    ) -> List[Tensors]:
        """Run every peer, or look up its cached logits.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            samples (List[DataSample], optional): B data samples.

        Returns:
            List[Tensors]: What collective losses read of each of P peers: the
            logits (B, C).
        """
        return [{LOGITS: self._logits(name, inputs, samples)} for name in self.networks]

    def run(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """Run one peer.

        Args:
            name (str): Its name.
            inputs (Tensor): Preprocessed images (B, 3, H, W).

        Returns:
            Tensor: The logits (B, C).
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


def _build(
    cfgs: Union[dict, Sequence[dict]], allow_random: bool
) -> List[FrozenTeacher]:
    if not isinstance(cfgs, (dict, list, tuple)) or not cfgs:
        expected = 'a checkpoint of a cohort, or the configs of one or more networks'
        raise invalid(KEY, expected, cfgs)
    peers = []
    for i, cfg in enumerate(_as_list(cfgs)):
        if not isinstance(cfg, dict):
            hint = ' The checkpoint of a cohort is given alone, not in a list.'
            raise invalid(f'{KEY}[{i}]', 'the config of a network', cfg, hint)
        network = {key: value for key, value in cfg.items() if key != 'blind_to'}
        spec = resolve_network(network, f'finished_peers[{i}]')
        if spec.new_head or not (weights_of(spec) or allow_random):
            raise ValueError(
                f'Invalid `{KEY}[{i}]`: expected a trained network, with the path of '
                'its weights as `pretrained`, got '
                f'{"a new head" if spec.new_head else "no weights"}.'
            )
        built = build_network(spec)
        if not weights_of(spec):
            check_pretrained_parts(built, f'{KEY}[{i}]')
            built.init_weights()
        peers.append(_freeze(built, spec))
    return peers


def _freeze(network: BaseModel, spec: NetworkSpec) -> FrozenTeacher:
    """Freeze a network; like a teacher, it takes the students' input if its config
    has no data preprocessor."""
    peer = FrozenTeacher(network)
    peer.adapt = InputAdapter(
        network.data_preprocessor if spec.data_preprocessor else None
    )
    return peer


def _folds_in(cfgs: Union[dict, Sequence[dict]]) -> List[Optional[int]]:
    """Return the fold each network is blind to; an empty list if none is."""
    folds = [cfg.get('blind_to') for cfg in _as_list(cfgs)]
    for i, fold in enumerate(folds):
        if not _is_fold(fold):
            expected = 'the number of a fold, from 0 on, or None'
            raise invalid(f'{KEY}[{i}].blind_to', expected, fold)
    return [] if set(folds) == {None} else folds


def _is_fold(value: Any) -> bool:
    return value is None or is_whole(value, least=0)


def _as_list(cfgs: Union[dict, Sequence[dict]]) -> List[dict]:
    return [cfgs] if isinstance(cfgs, dict) else list(cfgs)


def read_students(path: str, content: dict) -> List[FrozenTeacher]:
    """Build the students stored in the checkpoint of a cohort.

    Args:
        path (str): The path of the checkpoint; no code in it is run.
        content (dict): The content of the checkpoint.

    Returns:
        List[FrozenTeacher]: The students with their weights, frozen.

    Raises:
        ValueError: If it is not the checkpoint of a cohort, was written by a
            version that did not store the students' configs, or does not fit
            them.
    """
    weights, names = state_dict_in(content), _names_in(content)
    meta = content.get('meta')
    configs = meta.get('students') if isinstance(meta, dict) else None
    if not names or not isinstance(configs, dict) or not set(names) <= set(configs):
        raise ValueError(
            f'Invalid `{KEY}`: expected a checkpoint of a cohort that holds the '
            f"students' configs, got {path!r}. Use the exported students instead, as "
            "[dict(cfg_path='student0.py', pretrained='student0.pth'), ...]."
        )
    students = []
    for name in names:
        check_values(configs[name], f'{path}: meta.students.{name}')
        spec = resolve_network(configs[name], f'{KEY}.{name}', trusted=False)
        peer = _freeze(build_network(spec), spec)
        prefix = parameter_prefix(name)
        own = {
            key[len(prefix) :]: value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
        require_fit(peer.model, own, f'`{KEY}`', f'{path}: {name}')
        peer.model.pretrained_classes = class_names_in(content)
        students.append(peer)
    return students


def _names_in(content: dict) -> List[str]:
    return students_in(state_dict_in(content))
