# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Sequence

import numpy as np
import torch
from mmpretrain.datasets.transforms import PackInputs

from mmdckd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackCRDInputs(PackInputs):
    """Packs an image with the indices for contrastive distillation (CRD).

    The data sample has ``sample_idx``, a tensor of shape (), and
    ``contrast_sample_idxs``, a tensor of shape (K + 1,): the image's own index
    and the indices of K negatives. These are drawn either from other classes by
    MMRazor's ``CRDDataset`` around the dataset, or from all images by this
    transform, as MMRazor's ``CRDLoss`` would do without indices, but only on
    the CPU.

    It replaces MMRazor's ``PackCRDClsInputs``, which needs mmcls.

    Args:
        num_images (int, optional): The number of images in the dataset, the
            ``sample_n`` of the loss. Defaults to None.
        num_negatives (int, optional): K, the ``neg_num`` of the loss. Defaults
            to None: this transform draws no indices.
        input_key (str): The key of the image. Defaults to ``'img'``.
        meta_keys (Sequence[str]): See MMPretrain's ``PackInputs``. Defaults to
            the same keys without ``'sample_idx'``.

    Raises:
        ValueError: If only one of ``num_images`` and ``num_negatives`` is
            given.
    """

    INDICES = ('sample_idx', 'contrast_sample_idxs')

    def __init__(
        self,
        num_images: Optional[int] = None,
        num_negatives: Optional[int] = None,
        input_key: str = 'img',
        meta_keys: Sequence[str] = PackInputs.DEFAULT_META_KEYS[1:],
    ) -> None:
        super().__init__(input_key, self.INDICES, meta_keys)
        if (num_images is None) != (num_negatives is None):
            raise ValueError(
                'Invalid `num_images` and `num_negatives` of PackCRDInputs: '
                f'expected both or neither, got {num_images} and {num_negatives}.'
            )
        self.num_images = num_images
        self.num_negatives = num_negatives

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Args:
            results (dict): The results of the pipeline so far.

        Returns:
            dict: ``inputs`` (3, H, W) and ``data_samples``.
        """
        results = dict(results)
        if self.num_images is not None:
            negatives = np.random.randint(self.num_images, size=self.num_negatives)
            results['contrast_sample_idxs'] = np.append(
                results['sample_idx'], negatives
            )
        for key in self.INDICES:
            if key in results:
                results[key] = torch.as_tensor(results[key], dtype=torch.long)
        return super().transform(results)
