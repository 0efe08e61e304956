# Copyright (c) mmdckd contributors. All rights reserved.
"""A folder of images without labels, beside labeled ones."""

import os.path as osp
from dataclasses import dataclass, replace
from typing import Dict, List, Optional

from mmdckd.io.images import find_files
from mmdckd.registry import DATASETS

from .folder import ENDINGS
from .folder_checks import check_faults, shorten
from .image_facts import look_at
from .source import FILES, Source

#: How many unlabeled images there are for a labeled one in a batch, at most:
#: as many as FixMatch takes (https://arxiv.org/abs/2001.07685).
MOST_FOR_ONE = 7


@dataclass(frozen=True)
class UnlabeledFolder:
    """Images without labels.

    Attributes:
        path (str): The folder; empty without any.
        num_images (int): How many images are below it.
        num_labeled (int): How many labeled images there are to learn from.
    """

    path: str
    num_images: int
    num_labeled: int

    @property
    def share(self) -> float:
        """float: The share that they have in a batch: that in all images, so
        that each is seen as often, but at most 7 of 8."""
        beside = min(self.num_images, MOST_FOR_ONE * self.num_labeled)
        return beside / (beside + self.num_labeled)

    def lines(self) -> List[str]:
        """How many there are, and what follows, as lines for a user."""
        if not self.num_images:
            return []
        return [
            f'{self.num_images:,} images without labels in {self.path}: '
            f'{100 * self.share:.0f} % of a batch, so that all are seen as often, at '
            f'most {MOST_FOR_ONE} for each labeled one'
        ]

    def extend(self, source: Source) -> Source:
        """The labeled images, counted with as many of these as an epoch has.

        Args:
            source (Source): The labeled images.

        Returns:
            Source: The same, with the number of images that a pass over the
            labeled ones has.
        """
        return replace(source, num_train=round(self.num_labeled / (1 - self.share)))

    def mix_into(self, settings: dict) -> dict:
        """Add these images to the config of a run.

        Args:
            settings (dict): With ``train_dataloader``.

        Returns:
            dict: The same with both kinds of images.

        Raises:
            ValueError: If a batch has no room for them.
        """
        if not self.num_images:
            return settings
        loader = dict(settings['train_dataloader'])
        size = loader['batch_size']
        if size < 2:
            raise ValueError(
                'Invalid `batch_size`: expected 2 or more with `unlabeled`, a labeled '
                f'image and another, got {size}.'
            )
        number = min(max(1, round(self.share * size)), size - 1)
        labeled = loader['dataset']
        unlabeled = dict(
            type='CustomDataset',
            data_root=self.path,
            with_label=False,
            pipeline=labeled['pipeline'],
        )
        loader['dataset'] = dict(
            type='mmdckd.WithUnlabeled', dataset=labeled, unlabeled=unlabeled
        )
        loader['batch_sampler'] = dict(
            type='mmdckd.MixedBatchSampler', unlabeled_share=round(number / size, 4)
        )
        # A last batch has an unlabeled image beside a labeled one.
        loader.pop('drop_last', None)
        return dict(settings, train_dataloader=loader)


def read_unlabeled(path: Optional[str], source: Source) -> UnlabeledFolder:
    """Look at a folder of images without labels. Every image is read.

    Args:
        path (str, optional): The folder. Its subfolders are not looked at as
            classes. None stands for no such images.
        source (Source): The labeled images.

    Returns:
        UnlabeledFolder: What is in it.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no image in it, one cannot be read, some are
            copies of those that validate or test, or the labeled images are
            no files.
    """
    if path is None:
        return UnlabeledFolder('', 0, source.num_train)
    if not osp.isdir(path):
        raise FileNotFoundError(f'Invalid `unlabeled`: there is no folder {path!r}.')
    if source.kind != FILES:
        raise ValueError(
            'Invalid `unlabeled`: expected None where `data` is a dataset of PyTorch, '
            f'got {path!r}. Give `data` as a folder.'
        )
    files, _ = find_files(path, ENDINGS)
    if not files:
        raise ValueError(f'Invalid `unlabeled`: expected images in {path!r}, got none.')
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
            'Invalid `unlabeled`: expected images that neither validate nor test, got '
            f'copies of {len(copies)} that do: {shorten(copies)}. Remove them from '
            f'{path!r}.'
        )
    return UnlabeledFolder(path, len(files), source.num_train)


def _held_back(source: Source) -> Dict[bytes, str]:
    """The images that validate or test, by what stands for their content."""
    found = {}
    for cfg in filter(None, (source.val, source.test)):
        dataset = DATASETS.build(cfg)
        for index in range(len(dataset)):
            path = dataset.get_data_info(index)['img_path']
            found[look_at(path, decode=False).digest] = path
    return found
