# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List, Optional

from mmpretrain.datasets import BaseDataset
from torch.nn import functional as F

from mmdckd.io.given import take
from mmdckd.registry import DATASETS

from .pictures import as_bgr, is_input
from .stratified_part import stratified_part


@DATASETS.register_module()
class PairDataset(BaseDataset):
    """A dataset of PyTorch, of pairs of an image and its label.

    An image that is a tensor of floats is given as it is; of any other,
    transforms get the pixels, as of a file. Images are asked for when they
    are needed.

    Args:
        name (str): The name that the dataset is given by; see
            :func:`mmdckd.io.given.giving`. It stands for a tuple of the
            dataset and the labels of all its samples, an array (N,).
        part (str, optional): ``'train'`` or ``'val'``, a fixed stratified
            split; None takes all. Defaults to None.
        size (int, optional): The side that tensors of floats are resized to.
            Defaults to None: as they are.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`.
            ``pipeline`` defaults to ``PackInputs`` alone.
    """

    def __init__(
        self,
        name: str,
        part: Optional[str] = None,
        size: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        self._pairs, self._labels = take(name, 'dataset.name')
        self.part = part
        self.size = size
        kwargs.setdefault('pipeline', [dict(type='PackInputs')])
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """List the samples of the part.

        Returns:
            List[dict]: The ``gt_label`` of each, and its ``index``.
        """
        return [
            dict(index=int(index), gt_label=int(self._labels[index]))
            for index in stratified_part(self._labels, self.part)
        ]

    def prepare_data(self, idx: int) -> Any:
        """Get an image, and run the pipeline on it.

        Args:
            idx (int): Which one.

        Returns:
            Any: What the pipeline makes of it.
        """
        info = self.get_data_info(idx)
        image, _ = self._pairs[info['index']]
        if not is_input(image):
            image = as_bgr(image, 'data')
            shape = image.shape[:2]
        else:
            shape = tuple(image.shape[-2:])
            if self.size is not None and shape != (self.size, self.size):
                shape = (self.size, self.size)
                image = F.interpolate(
                    image[None], shape, mode='bilinear', antialias=True
                )[0]
        info.update(img=image, img_shape=shape, ori_shape=shape)
        return self.pipeline(info)
