# Copyright (c) mmdckd contributors. All rights reserved.
import hashlib
from collections import defaultdict
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from mmpretrain.datasets import CustomDataset

from mmdckd.errors import invalid
from mmdckd.io.images import ENDINGS, subfolders
from mmdckd.registry import DATASETS
from mmdckd.values import is_finite_number

from .image_files import paths_below


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """A folder with one subfolder of images for each class, split in two.

    The split is stratified and depends only on the content of the files and the
    seed. It stays the same when files are renamed, copied to another machine or
    listed in another order, and copies of an image are always in the same part.
    ``round(val_ratio * n)`` of the n images of a class are the validation split;
    each part gets at least one.

    Args:
        data_root (str): The folder.
        part (str, optional): ``'train'``, ``'val'``, or None for all images.
            Defaults to None.
        val_ratio (float): The share of the images in ``'val'``, between 0 and
            1. Defaults to 0.2.
        seed (int): The seed of the split. Defaults to 0.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset` except
            ``ann_file`` and ``with_label``; ``extensions`` defaults to
            :data:`~mmdckd.io.images.ENDINGS`.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If an argument is invalid, the folder has fewer than two
            classes or no image, or ``part`` is set and a class has fewer than two
            different images.

    Examples:
        >>> train = ImageFolder('photos', part='train')
        >>> val = ImageFolder('photos', part='val', test_mode=True)
    """

    PARTS = (None, 'train', 'val')

    def __init__(
        self,
        data_root: str,
        part: Optional[str] = None,
        val_ratio: float = 0.2,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if part not in self.PARTS:
            raise invalid('part', f'one of {self.PARTS}', part)
        if not is_finite_number(val_ratio) or not 0 < val_ratio < 1:
            raise invalid('val_ratio', 'a number between 0 and 1', val_ratio)
        for key in ('ann_file', 'with_label'):
            if key in kwargs:
                expected = f'no `{key}`, as the subfolders are the classes'
                raise invalid(key, expected, kwargs[key])
        self.part = part
        self.val_ratio = val_ratio
        self.seed = seed
        kwargs.setdefault('extensions', ENDINGS)
        super().__init__(data_root=data_root, **kwargs)

    def _find_samples(self) -> List[Tuple[str, int]]:
        """List the path below the folder and the class of each image.

        Hidden files and folders are ignored, whereas MMPretrain would make a
        class of ``.ipynb_checkpoints``.
        """
        root = self.img_prefix
        names = subfolders(root)
        given = self._metainfo.setdefault('classes', tuple(names))
        if len(given) != len(names):
            raise ValueError(
                f'Invalid `metainfo.classes`: expected a name for each of the '
                f'{len(names)} subfolders of {root!r}, got {len(given)}.'
            )
        return [
            (path, label)
            for label, name in enumerate(names)
            for path in paths_below(root, name, self.extensions)
        ]

    def load_data_list(self) -> List[dict]:
        """Find the images of the part.

        Returns:
            List[dict]: ``img_path`` and ``gt_label`` of each.
        """
        images = super().load_data_list()
        names = self._metainfo['classes']
        by_class: Dict[int, List[dict]] = defaultdict(list)
        for image in images:
            by_class[int(image['gt_label'])].append(image)
        # Some classes may lack test images.
        if len(names) < 2 or not by_class:
            raise ValueError(
                f'Invalid `data_root`: expected a subfolder of images for each of '
                f'two or more classes, got {len(by_class)} in {self.data_root!r}.'
            )
        if self.part is None:
            return images
        chosen = []
        for label, name in enumerate(names):
            group = by_class[label]
            val = self._validation(group, name)
            chosen += [
                image
                for image in group
                if (image['img_path'] in val) == (self.part == 'val')
            ]
        return chosen

    def _validation(self, images: Sequence[dict], name: str) -> Set[str]:
        """Return the paths of the validation images of one class."""
        digests = {
            image['img_path']: file_digest(image['img_path'], self.seed)
            for image in images
        }
        different = len(set(digests.values()))
        if different < 2:
            raise ValueError(
                f'Invalid `data_root`: expected two or more different images of '
                f'each class, one for training and one for validation, got '
                f'{different} of {name!r} in {self.data_root!r}.'
            )
        return validation_part(digests, self.val_ratio)


def validation_part(digests: Mapping[str, bytes], val_ratio: float = 0.2) -> Set[str]:
    """Choose the validation images of one class.

    Args:
        digests (Mapping[str, bytes]): Path to the digest of each image.
        val_ratio (float): The share of validation images. Defaults to 0.2.

    Returns:
        Set[str]: The paths with the lowest digests, including all copies.
    """
    copies: Dict[bytes, List[str]] = defaultdict(list)
    for path, digest in digests.items():
        copies[digest].append(path)
    wanted = max(1, round(val_ratio * len(digests)))
    chosen: Set[str] = set()
    for digest in sorted(copies)[:-1]:
        if len(chosen) >= wanted:
            break
        chosen.update(copies[digest])
    return chosen


def file_digest(path: str, seed: int = 0) -> bytes:
    """Hash the content of a file and the seed of a split.

    Args:
        path (str): The file.
        seed (int): The seed of the split. Defaults to 0.

    Returns:
        bytes: A digest of 16 bytes.
    """
    digest = hashlib.blake2b(str(seed).encode(), digest_size=16)
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
