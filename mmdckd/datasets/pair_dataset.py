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
    """Wraps a PyTorch dataset of pairs of an image and its label.

    Tensors of floats are passed on unchanged; of other images, the pipeline
    gets the pixels, as of a file. Images are loaded when they are needed.

    Args:
        name (str): The name of the dataset in this process; see
            :func:`mmdckd.io.given.giving`. It stands for a tuple of the
            dataset and the labels of all its samples, an array (N,).
        part (str, optional): ``'train'`` or ``'val'``, a fixed stratified
            split. Defaults to None: all samples.
        size (int, optional): The side to which tensors of floats are resized.
            Defaults to None: they keep their size.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`.
            ``pipeline`` defaults to ``PackInputs``.
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
            List[dict]: The ``gt_label`` and the ``index`` of each sample.
        """
        return [
            dict(index=int(index), gt_label=int(self._labels[index]))
            for index in stratified_part(self._labels, self.part)
        ]

    def prepare_data(self, idx: int) -> Any:
        """Load an image and run the pipeline on it.

        Args:
            idx (int): The index of the sample in the part.

        Returns:
            Any: The result of the pipeline.
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
