from typing import Sequence

import torch
from mmpretrain.datasets.transforms import PackInputs

from mmdckd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackCRDInputs(PackInputs):
    """Pack an image with the indices that contrastive distillation needs.

    It takes the place of MMRazor's ``PackCRDClsInputs``, which needs mmcls,
    at the end of the pipeline of a dataset that MMRazor's ``CRDDataset``
    wraps. The data sample has ``sample_idx``, a tensor of shape (), and in
    training ``contrast_sample_idxs``, a tensor of shape (K + 1,): the index
    of the positive sample and those of K negative ones.

    Args:
        input_key (str): The key of the image. Defaults to ``'img'``.
        meta_keys (Sequence[str]): As of MMPretrain's ``PackInputs``. Defaults
            to its own, but for ``'sample_idx'``.
    """

    INDICES = ('sample_idx', 'contrast_sample_idxs')

    def __init__(
        self,
        input_key: str = 'img',
        meta_keys: Sequence[str] = PackInputs.DEFAULT_META_KEYS[1:]
    ) -> None:
        super().__init__(input_key, self.INDICES, meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Args:
            results (dict): What the pipeline has made of it.

        Returns:
            dict: ``inputs`` (3, H, W) and ``data_samples``.
        """
        tensors = {
            key: torch.as_tensor(results[key], dtype=torch.long)
            for key in self.INDICES if key in results
        }
        return super().transform({**results, **tensors})
