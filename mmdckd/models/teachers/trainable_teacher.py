# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional, Union

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..networks import num_classes_of
from ..tasks import train_classifiers
from ..tasks.task_loss import task_losses
from .building import build_teacher


class TrainableTeacher(nn.Module):
    """A teacher that is trained on the task while it teaches.

    It learns from its own task loss and not from the students. It is part of
    the model's ``state_dict`` and optimizer.

    Args:
        cfg (dict | :obj:`BaseModel`): See
            :class:`~.frozen_teacher.FrozenTeacher`. Random weights are allowed.
        checkpoint (str, optional): Path or URL of its weights. Defaults to
            None.
        norm_eval (bool): Whether its BatchNorm layers keep their statistics.
            Defaults to True, as in MMRazor.
    """

    def __init__(
        self,
        cfg: Union[dict, BaseModel],
        checkpoint: Optional[str] = None,
        norm_eval: bool = True,
    ) -> None:
        super().__init__()
        self.model, self.adapt = build_teacher(cfg, checkpoint, True)
        train_classifiers(self.model, apart=False)
        self.norm_eval = norm_eval

    @property
    def num_classes(self) -> Optional[int]:
        """int, optional: The number of classes, if the head reports it."""
        return num_classes_of(self.model)

    def train(self, mode: bool = True) -> 'TrainableTeacher':
        """Set the mode; BatchNorm stays in ``eval`` mode with ``norm_eval``."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(
        self, inputs: torch.Tensor, data_samples: Optional[list] = None
    ) -> Dict:
        """Run the teacher, and compute its task loss on labeled images.

        Args:
            inputs (Tensor): Images preprocessed for the students,
                (B, 3, H, W).
            data_samples (list, optional): B data samples with the labels.

        Returns:
            Dict[str, Tensor]: The task losses; empty if no image has labels.
        """
        return task_losses(self.model, self.adapt(inputs), data_samples)

    def predict(
        self, inputs: torch.Tensor, data_samples: Optional[list] = None
    ) -> List:
        """Predict the classes of images, as MMPretrain does."""
        return self.model(self.adapt(inputs), data_samples, mode='predict')
