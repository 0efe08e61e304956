# Copyright (c) mmdckd contributors. All rights reserved.
"""Reads a folder of images without labels, to be mixed with labeled ones."""

import os
import os.path as osp
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Union

from mmdckd.errors import shorten
from mmdckd.io.images import ENDINGS, find_files
from mmdckd.registry import DATASETS

from .folder_checks import check_faults, other_files
from .image_facts import digest_of, look_at
from .source import FILES, Source

#: Upper bound on the unlabeled images per labeled one in a batch, the ratio of
#: FixMatch (https://arxiv.org/abs/2001.07685).
MOST_FOR_ONE = 7


@dataclass(frozen=True)
class UnlabeledFolder:
    """A folder of images without labels.

    Attributes:
        path (str): The folder; empty if there is none.
        num_images (int): The number of images in it, at any depth.
        num_labeled (int): The number of labeled training images.
        digest (str): A digest of the images in it.
    """

    path: str
    num_images: int
    num_labeled: int
    digest: str = ''

    @property
    def share(self) -> float:
        """float: The share of unlabeled images in a batch: their share of all
        images, so that each is seen equally often, but at most 7 of 8."""
        beside = min(self.num_images, MOST_FOR_ONE * self.num_labeled)
        return beside / (beside + self.num_labeled)

    def lines(self) -> List[str]:
        """Return lines for the user: how many there are, and their share."""
        if not self.num_images:
            return []
        return [
            f'{self.num_images:,} images without labels in {self.path}: '
            f'{100 * self.share:.0f} % of each batch, so that all are seen equally '
            f'often, at most {MOST_FOR_ONE} per labeled one'
        ]

    def extend(self, source: Source) -> Source:
        """Return the labeled images, with an epoch that includes unlabeled ones.

        Args:
            source (Source): The labeled images.

        Returns:
            Source: The same, whose ``num_train`` is the number of images,
            unlabeled ones included, in one pass over the labeled ones.
        """
        return replace(source, num_train=round(self.num_labeled / (1 - self.share)))

    def mix_into(self, settings: dict) -> dict:
        """Add these images to the config of a run.

        Args:
            settings (dict): The config, with ``train_dataloader``.

        Returns:
            dict: The config with both kinds of images.

        Raises:
            ValueError: If a batch has no room for both.
        """
        if not self.num_images:
            return settings
        loader = dict(settings['train_dataloader'])
        size = loader['batch_size']
        if size < 2:
            raise ValueError(
                'Invalid `batch_size`: expected at least 2 with `unlabeled`, for a '
                f'labeled and an unlabeled image, got {size}.'
            )
        number = min(max(1, round(self.share * size)), size - 1)
        labeled = loader['dataset']
        unlabeled = dict(
            type='mmdckd.ImageFiles', data_root=self.path, pipeline=labeled['pipeline']
        )
        loader['dataset'] = dict(
            type='mmdckd.WithUnlabeled', dataset=labeled, unlabeled=unlabeled
        )
        loader['batch_sampler'] = dict(
            type='mmdckd.MixedBatchSampler', unlabeled_share=round(number / size, 4)
        )
        # Even the last batch has an unlabeled image beside a labeled one.
        loader.pop('drop_last', None)
        own = dict(count=self.num_images, digest=self.digest)
        return dict(settings, train_dataloader=loader, unlabeled_images=own)


def read_unlabeled(
    path: Optional[Union[str, 'os.PathLike[str]']], source: Source
) -> UnlabeledFolder:
    """Read a folder of images without labels. Every image is read.

    Args:
        path (str | PathLike, optional): The folder. Its subfolders are not treated as
            classes. None means no such images.
        source (Source): The labeled images.

    Returns:
        UnlabeledFolder: What is in it.

    Raises:
        FileNotFoundError: If the folder does not exist.
        TypeError: If ``path`` is no path.
        ValueError: If it has no image, an image cannot be read, some are copies
            of validation or test images, or the labeled images are not files.
    """
    if path is None:
        return UnlabeledFolder('', 0, source.num_train)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f'Invalid `unlabeled`: expected a folder, got a {type(path).__name__}.'
        )
    path = os.fspath(path)
    if not osp.isdir(path):
        raise FileNotFoundError(
            f'Invalid `unlabeled`: expected an existing folder, got {path!r}.'
        )
    if source.kind != FILES:
        raise ValueError(
            'Invalid `unlabeled`: expected None if `data` is not a folder, got '
            f'{path!r}. Pass `data` as a folder.'
        )
    files, _ = find_files(path, ENDINGS)
    if not files:
        raise ValueError(
            f'Invalid `unlabeled`: expected images in {path!r}, got none.'
            + other_files(path, {'': files})
        )
    facts = [look_at(file) for file in files]
    check_faults(facts, path, 'unlabeled')
    held_back = _held_back(source)
    copies = [
        f'{fact.path} ({held_back[fact.digest]})'
        for fact in facts
        if fact.digest in held_back
    ]
    if copies:
        raise ValueError(
            'Invalid `unlabeled`: expected no validation or test images, got copies '
            f'of {len(copies)}: {shorten(copies)}. Remove them from {path!r}.'
        )
    digest = digest_of(('', fact) for fact in facts)
    return UnlabeledFolder(path, len(files), source.num_train, digest)


def _held_back(source: Source) -> Dict[bytes, str]:
    """Return the paths of the validation and test images by digest."""
    found = {}
    for cfg in filter(None, (source.val, source.test)):
        dataset = DATASETS.build(cfg)
        for index in range(len(dataset)):
            path = dataset.get_data_info(index)['img_path']
            found[look_at(path, decode=False).digest] = path
    return found
