from typing import Callable, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import nn

from ..networks import build_network, num_classes_of, resolve_network


class FrozenTeacher:
    """A teacher that is looked at and never changed.

    It is no :class:`torch.nn.Module`, so that a model which holds it has it
    in no ``state_dict``, optimizer group, EMA copy or DDP bucket; the holder
    passes device and type changes on through :meth:`apply`. It stays in
    ``eval`` mode throughout, needs no labels and computes no loss.

    Args:
        cfg (dict | :obj:`BaseModel`): The network's config (see
            :func:`~mmdckd.models.networks.resolve_network`), or the network
            itself, whose weights are then its owner's business. A config may
            have ``input_size`` beside: the height and width, or the side,
            that images are resized to for this teacher.
        checkpoint (str, optional): Path or address of its weights, where the
            config names none. Every key must fit. Defaults to None.
        allow_random (bool): Whether a teacher without weights is accepted.
            Defaults to False.

    Raises:
        ValueError: If there are no weights and ``allow_random`` is False, if
            two are named, or if they do not fit.
    """

    def __init__(self,
                 cfg: Union[dict, BaseModel],
                 checkpoint: Optional[str] = None,
                 allow_random: bool = False) -> None:
        self.input_size = None
        if isinstance(cfg, dict) and 'input_size' in cfg:
            cfg = dict(cfg)
            self.input_size = _check_size(cfg.pop('input_size'))
        if isinstance(cfg, BaseModel):
            self.model = cfg
            normalisation = (
                cfg.data_preprocessor if hasattr(cfg.data_preprocessor, 'mean')
                else None)
        else:
            spec = resolve_network(cfg, 'teacher')
            if checkpoint and spec.weights:
                raise ValueError(
                    f'`teacher_ckpt`={checkpoint!r} and the weights that '
                    f'`teacher` names ({spec.weights!r}) exclude each other. '
                    'Keep one.')
            if checkpoint:
                spec.weights, spec.key = checkpoint, 'teacher_ckpt'
            if not spec.weights and not allow_random:
                raise ValueError(
                    'The teacher has no weights: set `teacher_ckpt` to a '
                    'checkpoint or `teacher.pretrained=True`. To distil from '
                    'a random network on purpose, set '
                    '`allow_random_teacher=True`.')
            # The random start of a teacher that is about to be loaded takes
            # nothing from the students' stream of random numbers.
            with torch.random.fork_rng(devices=[]):
                self.model = build_network(spec)
                if not spec.weights:
                    self.model.init_weights()
            normalisation = (
                None if spec.data_preprocessor is None else
                self.model.data_preprocessor)
        self.model.eval().requires_grad_(False)
        self._own = _Normalisation(normalisation)
        self._renormalise: Optional[Callable] = None

    @property
    def num_classes(self) -> Optional[int]:
        """int, optional: The number of classes, where the head tells it."""
        return num_classes_of(self.model)

    def see_through(self, data_preprocessor: nn.Module) -> None:
        """Tell which preprocessor makes the inputs, so that they are brought
        to the teacher's own normalisation and channel order where these
        differ.

        Args:
            data_preprocessor (nn.Module): The students' preprocessor.
        """
        theirs = _Normalisation(data_preprocessor)
        self._renormalise = self._own.conversion_from(theirs)

    def apply(self, fn: Callable) -> None:
        """Apply a device or type change, as ``nn.Module._apply`` does."""
        self.model._apply(fn)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        """A copy of the holder, an EMA for instance, shares the teacher."""
        return self

    @torch.no_grad()
    def __call__(self, inputs: torch.Tensor):
        """Run the teacher in ``tensor`` mode.

        Args:
            inputs (Tensor): Images as preprocessed for the students,
                (B, 3, H, W).

        Returns:
            Tensor | tuple: What its head returns.
        """
        return self.model(self._prepare(inputs), mode='tensor')

    @torch.no_grad()
    def predict(self,
                inputs: torch.Tensor,
                data_samples: Optional[list] = None) -> List:
        """Predict the classes of images, as MMPretrain does.

        Args:
            inputs (Tensor): As in :meth:`__call__`.
            data_samples (list, optional): B data samples that receive the
                predictions.

        Returns:
            List[DataSample]: The B predictions.
        """
        return self.model(self._prepare(inputs), data_samples, mode='predict')

    def _prepare(self, inputs: torch.Tensor) -> torch.Tensor:
        if self._renormalise is not None:
            inputs = self._renormalise(inputs)
        if self.input_size and tuple(inputs.shape[-2:]) != self.input_size:
            inputs = F.interpolate(
                inputs, self.input_size, mode='bicubic', antialias=True)
        return inputs


def _check_size(size) -> Tuple[int, int]:
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(
            isinstance(side, int) and side > 0 for side in sides):
        raise ValueError('`teacher.input_size` should be a side or (height, '
                         f'width) in pixels, but got {size!r}.')
    return sides


class _Normalisation:
    """Mean, standard deviation and channel order of the inputs a network
    expects: ``x = (rgb or bgr - mean) / std``. Unknown where there is no
    preprocessor."""

    def __init__(self, preprocessor: Optional[nn.Module]) -> None:
        self.known = preprocessor is not None
        self.mean = getattr(preprocessor, 'mean', None)
        self.std = getattr(preprocessor, 'std', None)
        self.rgb = bool(
            getattr(preprocessor, 'to_rgb', False)
            or getattr(preprocessor, '_channel_conversion', False))

    def conversion_from(self, other: '_Normalisation') -> Optional[Callable]:
        """The function that turns inputs normalised as ``other`` into this
        normalisation; None where they agree or one is unknown."""
        if not (self.known and other.known):
            return None
        (mean, std), (other_mean, other_std) = (self._moments(),
                                                other._moments())
        flip = self.rgb != other.rgb
        if flip:
            other_mean, other_std = other_mean.flip(0), other_std.flip(0)
        if not flip and torch.equal(mean, other_mean) and torch.equal(
                std, other_std):
            return None
        scale, shift = other_std / std, (other_mean - mean) / std

        def renormalise(inputs: torch.Tensor) -> torch.Tensor:
            if flip:
                inputs = inputs.flip(1)
            return inputs * scale.to(inputs) + shift.to(inputs)

        return renormalise

    def _moments(self):
        if self.mean is None:
            return torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
        return self.mean.cpu(), self.std.cpu()
