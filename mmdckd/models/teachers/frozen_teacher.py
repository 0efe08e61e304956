# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable, Dict, List, Optional, Union

import torch
from mmengine.model import BaseModel

from ..networks import num_classes_of
from .building import build_teacher


class FrozenTeacher:
    """A frozen teacher, which is never changed.

    It is not a :class:`torch.nn.Module`, so it is in no ``state_dict``,
    optimizer group, EMA copy or DDP bucket of the model that holds it. The
    model passes device and type changes to :meth:`apply`. The teacher stays in
    ``eval`` mode, needs no labels and computes no loss.

    Args:
        cfg (dict | :obj:`BaseModel`): The network's config (see
            :func:`~.building.build_teacher`), or the network itself, whose
            weights are not checked.
        checkpoint (str, optional): Path or URL of its weights, if the config
            names none. Every key must match. Defaults to None.
        allow_random (bool): Whether a teacher without weights is accepted.
            Defaults to False.

    Raises:
        ValueError: If there are no weights and ``allow_random`` is False, if
            they are named twice, or if they do not fit.
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
        """int, optional: The number of classes, if the head reports it."""
        return num_classes_of(self.model)

    def apply(self, fn: Callable) -> None:
        """Apply a device or type change, as ``nn.Module._apply`` does."""
        self.model._apply(fn)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        """Share the teacher with copies of the model, such as an EMA."""
        return self

    @torch.no_grad()
    def __call__(
        self, inputs: torch.Tensor, data_samples: Optional[list] = None
    ) -> Dict:
        """Run the teacher in ``tensor`` mode, so that recorders see its outputs.

        Args:
            inputs (Tensor): Images preprocessed for the students,
                (B, 3, H, W).
            data_samples (list, optional): Ignored. Defaults to None.

        Returns:
            dict: No losses.
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
            data_samples (list, optional): B data samples to store the
                predictions in. Defaults to None.

        Returns:
            List[DataSample]: The B predictions.
        """
        return self.model(self.adapt(inputs), data_samples, mode='predict')
