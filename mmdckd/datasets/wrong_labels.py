# Copyright (c) mmdckd contributors. All rights reserved.
import hashlib
from typing import Any, Dict, List, Optional

from mmdckd.errors import invalid
from mmdckd.registry import DATASETS
from mmdckd.values import is_finite_number

from .folds import image_identity
from .inner_dataset import InnerDataset, labels_of


@DATASETS.register_module()
class WrongLabels(InnerDataset):
    """Gives some images of a dataset a wrong label, to measure what that costs.

    Whether an image has a wrong label, and which one, depends only on ``seed``
    and on the image (see :func:`~mmdckd.datasets.folds.image_identity`). So
    teacher and students, every run and every subset see the same wrong labels.

    Args:
        dataset (dict): The config of a dataset of MMPretrain; its ``pipeline``
            is not used.
        share (float): The probability that a label is wrong, 0 to 1.
        confused (dict[str, str], optional): The class that each class is taken
            for; images of other classes keep their labels. Defaults to None:
            each of the other classes is equally likely (symmetric noise).
        seed (int): The seed of the choice. Defaults to 0.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`, such
            as ``pipeline``.

    Raises:
        ValueError: If ``share`` is not from 0 to 1; if ``confused`` names a
            class that does not exist, or takes a class for itself; or if the
            dataset has no class names, or not exactly one label an image.

    Examples:
        >>> digits = dict(type='mmdckd.Digits')
        >>> noisy = WrongLabels(digits, share=0.2)
        >>> sevens = WrongLabels(digits, share=0.5, confused={'1': '7'})
    """

    def __init__(
        self,
        dataset: dict,
        share: float,
        confused: Optional[Dict[str, str]] = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if not is_finite_number(share) or not 0 <= share <= 1:
            raise invalid('share', 'a probability from 0 to 1', share)
        if confused is not None and not isinstance(confused, dict):
            raise invalid('confused', 'a dict from class to class', confused)
        self.share = share
        self.confused = confused
        self.seed = seed
        super().__init__(dataset, **kwargs)

    def load_data_list(self) -> List[dict]:
        """List the images, some of them with a wrong ``gt_label``.

        Returns:
            List[dict]: The dataset's information about each image.
        """
        dataset, infos = self.load_inner()
        classes = dataset.metainfo.get('classes')
        if not classes:
            raise invalid('dataset', 'a dataset with the names of its classes', classes)
        options = self._options(list(classes))
        for info, label in zip(infos, labels_of(infos)):
            if not 0 <= label < len(options):
                expected = f'labels from 0 to {len(options) - 1}'
                raise invalid('dataset', expected, int(label))
            wrong = options[label]
            identity = image_identity(info, self.image_roots)
            if wrong and self._draw('whether', identity) < self.share:
                place = int(self._draw('which', identity) * len(wrong))
                info['gt_label'] = wrong[place]
        return infos

    def _options(self, classes: List[str]) -> List[List[int]]:
        """Return the wrong labels that the images of each class can get."""
        labels = range(len(classes))
        if self.confused is None:
            return [[other for other in labels if other != one] for one in labels]
        for one, other in self.confused.items():
            if one == other or not {one, other} <= set(classes):
                raise invalid(
                    'confused', f'pairs of two of the classes {classes}', {one: other}
                )
        return [
            [classes.index(self.confused[name])] if name in self.confused else []
            for name in classes
        ]

    def _draw(self, what: str, identity: int) -> float:
        """Return a number from 0 to 1 (exclusive) for an image."""
        text = f'{self.seed} {what} {identity}'.encode()
        digest = hashlib.blake2b(text, digest_size=6).digest()
        return int.from_bytes(digest, 'little') / 2**48
