# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import List, Optional

import numpy as np
from mmpretrain.datasets import FashionMNIST as MMPretrainFashionMNIST
from mmpretrain.datasets.mnist import read_sn3_pascalvincent_tensor

from mmdckd.errors import invalid
from mmdckd.registry import DATASETS

from .stratified import stratified_subset

#: The names of its four files, compressed; MNIST has the same names.
FILES = tuple(
    f'{part}-{kind}-ubyte.gz'
    for part in ('train', 't10k')
    for kind in ('images-idx3', 'labels-idx1')
)
_SPLITS = ('train', 'val', 'trainval', 'test')
#: The last of this many parts of every class is the validation split: 5,000 of
#: 60,000.
_PARTS = 12


@DATASETS.register_module()
class FashionMNIST(MMPretrainFashionMNIST):
    """Fashion-MNIST with a fixed validation split, read from local files.

    70,000 photographs of 10 kinds of clothes, 28x28: `Fashion-MNIST: a Novel
    Image Dataset for Benchmarking Machine Learning Algorithms
    <https://arxiv.org/abs/1708.07747>`_ (Xiao et al., 2017). Nothing is
    downloaded. The four files of the dataset may be compressed (``.gz``);
    Debian's package ``dataset-fashion-mnist`` installs them in
    ``/usr/share/datasets/fashion-mnist``.

    MMPretrain's dataset of this name has no validation split and reads only
    uncompressed files. Here the validation split is the last 500 training
    images of every class, in the order of the data, without random numbers.
    Make all choices on the validation split, and use the test split once.

    ======== ====== =======================
    split    images images of each class
    ======== ====== =======================
    train    55,000 5,500
    val      5,000  500
    trainval 60,000 6,000 (train and val)
    test     10,000 1,000
    ======== ====== =======================

    An image is a uint8 array of shape (28, 28, 3). All three channels contain
    the gray value, so every MMPretrain transform, network and visualizer
    accepts it. Images are already decoded: a pipeline needs no
    ``LoadImageFromFile``.

    Args:
        data_root (str): The folder of the files. Defaults to Debian's,
            '/usr/share/datasets/fashion-mnist'.
        split (str): 'train', 'val', 'trainval' or 'test'. Defaults to
            'train'.
        num_images (int, optional): The number of images of the split to keep,
            the same number for every class (or one more). The choice is fixed,
            and a smaller subset is part of a larger one. Defaults to None: all.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If ``split`` has another value, ``num_images`` is larger
            than the split, or a file belongs to another dataset, such as MNIST.

    Examples:
        >>> from mmdckd.datasets import FashionMNIST
        >>> clothes = FashionMNIST(num_images=5000)
        >>> clothes[0]['img'].shape, clothes.CLASSES[clothes[0]['gt_label']]
        ((28, 28, 3), 'T-shirt/top')
    """

    def __init__(
        self,
        data_root: str = '/usr/share/datasets/fashion-mnist',
        split: str = 'train',
        num_images: Optional[int] = None,
        **kwargs,
    ) -> None:
        if split not in _SPLITS:
            raise invalid('split', f'one of {_SPLITS}', split)
        self.part = split
        self.num_images = num_images
        super().__init__(
            data_root=data_root,
            split='test' if split == 'test' else 'train',
            download=False,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Read the images and labels of the split.

        Returns:
            list[dict]: One dict an image, with ``img``, ``img_shape``,
            ``ori_shape`` and ``gt_label``.
        """
        files = self.test_list if self.part == 'test' else self.train_list
        images, labels = (self._read(name) for name, _ in files)
        if images.shape != (len(labels), 28, 28) or labels.max() > 9:
            raise ValueError(
                f'Invalid `data_root`: expected Fashion-MNIST, images of '
                f'28x28 with a label from 0 to 9 each, got {images.shape} and '
                f'{labels.shape} in {self.data_root!r}.'
            )
        counts = np.bincount(labels, minlength=10)
        if counts.min() != counts.max():
            raise ValueError(
                'Invalid `data_root`: expected Fashion-MNIST, with as many images of '
                f'every class, got {counts.min()} to {counts.max()} in '
                f'{self.data_root!r}. MNIST has files of the same names: its dataset '
                "is dict(type='MNIST')."
            )
        chosen = np.arange(len(labels))
        if self.part in ('train', 'val'):
            chosen = _split(labels, self.part)
        if self.num_images is not None:
            chosen = chosen[
                stratified_subset(labels[chosen], self.num_images, 10, 'num_images')
            ]
        return [
            dict(
                img=np.repeat(images[index][..., None], 3, axis=-1),
                img_shape=(28, 28),
                ori_shape=(28, 28),
                gt_label=int(labels[index]),
            )
            for index in chosen
        ]

    def _read(self, name: str) -> np.ndarray:
        """Read a file, compressed or not."""
        paths = [osp.join(self.data_root, each) for each in (name[: -len('.gz')], name)]
        path = next(filter(osp.isfile, paths), None)
        if path is None:
            raise FileNotFoundError(
                f'Invalid `data_root`: expected a folder with {name}, got '
                f'{self.data_root!r}. On Debian and Ubuntu, '
                '`apt-get install dataset-fashion-mnist` installs the files '
                'in /usr/share/datasets/fashion-mnist.'
            )
        try:
            return read_sn3_pascalvincent_tensor(path).numpy()
        except (AssertionError, EOFError, KeyError, OSError, ValueError) as error:
            raise ValueError(
                'Invalid `data_root`: expected files of Fashion-MNIST, got '
                f'{path!r}, which is damaged or of another kind ({error}).'
            ) from error

    def extra_repr(self) -> List[str]:
        """Add the folder and split to the printed description of the dataset."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.part}']


def _split(labels: np.ndarray, split: str) -> np.ndarray:
    """Return the indices of the training or validation images, ascending."""
    chosen = []
    for label in range(10):
        of_class = np.flatnonzero(labels == label)
        end = len(of_class) - len(of_class) // _PARTS
        chosen.append(of_class[:end] if split == 'train' else of_class[end:])
    return np.sort(np.concatenate(chosen))
