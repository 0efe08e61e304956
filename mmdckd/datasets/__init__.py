# Copyright (c) mmdckd contributors. All rights reserved.
"""Datasets, some of which need no download, samplers and transforms."""

from .dataset_part import DatasetPart
from .digits import Digits
from .enumerated_crop_flip import EnumeratedCropFlip
from .fashion_mnist import FashionMNIST
from .glyph62 import Glyph62
from .image_files import ImageFiles
from .image_folder import ImageFolder
from .load_image import LoadImage
from .mixed_batch_sampler import MixedBatchSampler
from .pack_crd_inputs import PackCRDInputs
from .pair_dataset import PairDataset
from .unlabeled import Unlabeled
from .with_unlabeled import WithUnlabeled
from .without_fold import WithoutFold
from .wrong_labels import WrongLabels

__all__ = [
    'DatasetPart',
    'Digits',
    'EnumeratedCropFlip',
    'FashionMNIST',
    'Glyph62',
    'ImageFiles',
    'ImageFolder',
    'LoadImage',
    'MixedBatchSampler',
    'PackCRDInputs',
    'PairDataset',
    'Unlabeled',
    'WithUnlabeled',
    'WithoutFold',
    'WrongLabels',
]
