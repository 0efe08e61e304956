# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List, Optional

import numpy as np

from mmdckd.registry import DATASETS

from .inner_dataset import InnerDataset, labels_of
from .stratified_part import stratified_part


@DATASETS.register_module()
class DatasetPart(InnerDataset):
    """A part of a dataset of MMPretrain, with its own pipeline.

    Args:
        dataset (dict): The config of the dataset; its ``pipeline`` is not
            used.
        part (str, optional): ``'train'`` or ``'val'``, a fixed stratified
            split. Defaults to None: all samples.
        rgb (bool): Whether its decoded images are RGB, like those of CIFAR.
            They are converted to BGR, the order of images from files. Defaults
            to False.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`, such
            as ``pipeline``.

    Raises:
        ValueError: If ``part`` has another value; if it is set and a sample does
            not have exactly one label, or a class has a single sample.

    Examples:
        >>> cifar = dict(type='CIFAR10', data_root='data', split='train')
        >>> val = DatasetPart(cifar, part='val', rgb=True)
    """

    def __init__(
        self,
        dataset: dict,
        part: Optional[str] = None,
        rgb: bool = False,
        **kwargs: Any,
    ) -> None:
        self.part = part
        self.rgb = rgb
        super().__init__(dataset, **kwargs)

    def load_data_list(self) -> List[dict]:
        """List the samples of the part.

        Returns:
            List[dict]: The dataset's information about each sample.
        """
        _, infos = self.load_inner()
        if self.part is not None:
            chosen = stratified_part(labels_of(infos), self.part)
            infos = [infos[index] for index in chosen]
        return [self._as_from_file(info) for info in infos]

    def _as_from_file(self, info: dict) -> dict:
        if self.rgb and 'img' in info:
            image = np.asarray(info['img'])
            if image.ndim == 2:
                image = np.repeat(image[..., None], 3, axis=-1)
            info['img'] = np.ascontiguousarray(image[..., ::-1])
            info['img_shape'] = info['ori_shape'] = image.shape[:2]
        return info
