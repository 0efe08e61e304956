# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable, Dict, List, Optional, Union

import torch
from mmengine.model import BaseModel

from ..networks import num_classes_of
from .building import build_teacher


class FrozenTeacher:
    """A teacher that is looked at and never changed.

    It is no :class:`torch.nn.Module`, so that a model which holds it has it
    in no ``state_dict``, optimizer group, EMA copy or DDP bucket; the holder
    passes device and type changes on through :meth:`apply`. It stays in
    ``eval`` mode throughout, needs no labels and computes no loss.

    Args:
        cfg (dict | :obj:`BaseModel`): The network's config (see
            :func:`~.building.build_teacher`), or the network itself, whose
            weights are then its owner's business.
        checkpoint (str, optional): Path or address of its weights, where the
            config names none. Every key must fit. Defaults to None.
        allow_random (bool): Whether a teacher without weights is accepted.
            Defaults to False.

    Raises:
        ValueError: If there are no weights and ``allow_random`` is False, if
            two are named, or if they do not fit.
    """

    def __init__(
        self,
        cfg: Union[dict, BaseModel],
        checkpoint: Optional[str] = None,
        allow_random: bool = False,
    ) -> None:
        self.model, self.adapt = build_teacher(cfg, checkpoint, allow_random)
        self.model.eval().requires_grad_(False)

    @property
    def num_classes(self) -> Optional[int]:
        """int, optional: The number of classes, where the head tells it."""
        return num_classes_of(self.model)

    def apply(self, fn: Callable) -> None:
        """Apply a device or type change, as ``nn.Module._apply`` does."""
        self.model._apply(fn)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        """A copy of the holder, an EMA for instance, shares the teacher."""
        return self

    @torch.no_grad()
    def __call__(
        self, inputs: torch.Tensor, data_samples: Optional[list] = None
    ) -> Dict:
        """Run the teacher in ``tensor`` mode, for the recorders to see.

        Args:
            inputs (Tensor): Images as preprocessed for the students,
                (B, 3, H, W).
            data_samples (list, optional): Not looked at. Defaults to None.

        Returns:
            dict: Its losses: none.
        """
        self.model(self.adapt(inputs), mode='tensor')
        return {}

    @torch.no_grad()
    def predict(
        self, inputs: torch.Tensor, data_samples: Optional[list] = None
    ) -> List:
        """Predict the classes of images, as MMPretrain does.

        Args:
            inputs (Tensor): As in :meth:`__call__`.
            data_samples (list, optional): B data samples that receive the
                predictions. Defaults to None.

        Returns:
            List[DataSample]: The B predictions.
        """
        return self.model(self.adapt(inputs), data_samples, mode='predict')
