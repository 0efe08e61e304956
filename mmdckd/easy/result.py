# Copyright (c) mmdckd contributors. All rights reserved.
"""The result of a distillation."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from PIL import Image
from torch import Tensor, nn

from mmdckd.datasets.pictures import as_bgr, is_input
from mmdckd.export import ExportedStudent
from mmdckd.inference.image_pipeline import ImagePipeline
from mmdckd.inference.network import Network, load_network
from mmdckd.io.given import giving
from mmdckd.models.backbones import ModuleBackbone
from mmdckd.names import BEST, TEACHER, metric_name

METRIC = 'accuracy/top1'
#: An image to classify.
Picture = Union[str, 'os.PathLike[str]', Image.Image, np.ndarray, Tensor]


@dataclass
class Result:
    """The result of a distillation: the best student and its metrics.

    Attributes:
        name (str): The name of the best student.
        exported (ExportedStudent): The files of the best student.
        metrics (Dict[str, float]): The metrics of all members, in percent, on
            the test images or, if there are none, on the validation images.
        measured_on (str): ``'test'`` or ``'val'``.
        parameters (Dict[str, int]): The number of parameters of each student
            and of the teacher.
        report (str): The path of the report.
        work_dir (str): The output folder.
        objects (Dict[str, Any]): The Python objects that the student's config
            names; see :mod:`mmdckd.io.given`.
    """

    name: str
    exported: ExportedStudent
    metrics: Dict[str, float]
    measured_on: str
    parameters: Dict[str, int]
    report: str
    work_dir: str
    objects: Dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def student(self) -> nn.Module:
        """nn.Module: The best student, in evaluation mode, on the CPU. It takes
        images and returns logits (B, C). A student that was given as a Python
        object or is from torchvision has its original type."""
        model = self._load().model
        backbone = getattr(model, 'backbone', None)
        return backbone.module if isinstance(backbone, ModuleBackbone) else model

    def predict(
        self, images: Union[Picture, Sequence[Picture]]
    ) -> List[Dict[str, float]]:
        """Classify images with the best student.

        Args:
            images (str | PathLike | Image | np.ndarray | Tensor | Sequence):
                One image or several: a file path, a PIL image, a uint8 array
                (H, W) or (H, W, 3) in RGB, or a uint8 tensor (3, H, W). They
                are resized and normalized as in validation. A float tensor,
                (C, H, W) or (B, C, H, W), goes to the network unchanged.

        Returns:
            List[Dict[str, float]]: For each image, the probability of every
            class by name, the most likely first. Classes of one name are told
            apart by their labels: ``crane (134)``.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If an item is not an image, or is not a float tensor
                although the students were trained on float tensors.
        """
        several = isinstance(images, (list, tuple)) or (
            isinstance(images, Tensor) and images.ndim == 4
        )
        each = images if several else [images]
        return [self._named(self._scores(image)) for image in each]  # type: ignore

    @cached_property
    def _network(self) -> Network:
        network = self._load()
        network.model.to(get_device())
        return network

    @cached_property
    def _pipeline(self) -> Optional[ImagePipeline]:
        cfg = Config.fromfile(self.exported.config)
        return ImagePipeline(cfg) if cfg.get('test_dataloader') else None

    def _load(self) -> Network:
        with giving(self.objects):
            return load_network(
                Config.fromfile(self.exported.config), self.exported.checkpoint
            )

    @torch.no_grad()
    def _scores(self, image: Picture) -> Tensor:
        model = self._network.model
        if isinstance(image, Tensor) and is_input(image):
            inputs = image[None].to(next(model.parameters()))
            return model(inputs, mode='predict')[0].pred_score.cpu()
        if self._pipeline is None:
            raise ValueError(
                'Invalid `images`: expected float tensors, as the students were '
                f'trained on, got a {type(image).__name__}.'
            )
        if isinstance(image, (str, os.PathLike)):
            packed = self._pipeline.read(os.fspath(image))
        else:
            packed = self._pipeline.pack(as_bgr(image, 'images'))
        return model.test_step(default_collate([packed]))[0].pred_score.cpu()

    def _named(self, scores: Tensor) -> Dict[str, float]:
        names = self._network.classes or [str(i) for i in range(len(scores))]
        order = scores.argsort(descending=True).tolist()
        return {names[i]: float(scores[i]) for i in order}

    def summary(self) -> List[str]:
        """Summarize the result in five lines.

        Returns:
            List[str]: The best student, its accuracy, size and files.
        """
        own = self.metrics[metric_name(BEST, METRIC)]
        size = self.parameters[self.name]
        lines = [
            f'Use {self.name}, the best student in validation.',
            f'It classifies {own:.2f} % of the {self.measured_on} images correctly.',
            f'It has {size:,} parameters.',
        ]
        teacher = self.metrics.get(metric_name(TEACHER, METRIC))
        if teacher is not None:
            ratio = self.parameters[TEACHER] / size
            lines[1] = lines[1][:-1] + f'; the teacher {teacher:.2f} %.'
            shown = f'{ratio:.1f}' if ratio >= 0.1 else f'{ratio:.1g}'
            lines[2] = lines[2][:-1] + f', the teacher {shown} times as many.'
        return [
            *lines,
            f'It is in {self.exported.checkpoint} and {self.exported.config}.',
            f'The report is {self.report}.',
        ]
