# Copyright (c) mmdckd contributors. All rights reserved.
"""Load labeled images to measure the accuracy of an exported student."""

import os
import random
from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.datasets import CIFAR10, CIFAR100, MNIST, CustomDataset, ImageNet
from mmpretrain.datasets import FashionMNIST as MMPretrainFashionMNIST

from mmdckd.datasets import Digits, FashionMNIST, Glyph62, ImageFolder
from mmdckd.datasets.inner_dataset import InnerDataset
from mmdckd.errors import did_you_mean
from mmdckd.inference.image_files import check_readable, images_in, label_of
from mmdckd.inference.image_pipeline import ImagePipeline
from mmdckd.names import distinct_names

from .config_types import check_types

#: The largest number of images.
MOST_IMAGES = 5000
#: Datasets that only read images and labels, and run no code from an untrusted
#: config. MMEngine's base class would read annotations from a pickle.
HARMLESS = (
    CIFAR10,
    CIFAR100,
    CustomDataset,
    Digits,
    FashionMNIST,
    Glyph62,
    ImageFolder,
    ImageNet,
    MNIST,
    MMPretrainFashionMNIST,
)
#: A packed image and its label.
Labeled = Tuple[dict, int]


class FolderImages:
    """Labeled images from a folder with a subfolder for each class.

    Args:
        folder (str): The folder.
        classes (Sequence[str]): The names of the classes in the order of labels.
            Classes with the same name count as those of
            :func:`~mmdckd.names.classes.distinct_names`.

    Raises:
        ValueError: If there is no image, a subfolder does not have the name of a
            class, or an image cannot be read.
    """

    def __init__(self, folder: str, classes: Sequence[str]) -> None:
        self.folder = folder
        classes = distinct_names(classes)
        found = images_in(folder, '--test')
        for name in sorted(os.listdir(folder)):
            inside = os.path.isdir(os.path.join(folder, name))
            if inside and not name.startswith('.') and name not in classes:
                raise ValueError(
                    'Invalid `--test`: expected a subfolder of images for each class '
                    f'({", ".join(classes[:10])}{", ..." if classes[10:] else ""}), '
                    f'got {name!r} in {folder!r}.' + did_you_mean(name, classes)
                )
        labels = [(path, label_of(path, folder, classes)) for path in found]
        known = [(path, label) for path, label in labels if label is not None]
        if not known:
            raise ValueError(
                'Invalid `--test`: expected a subfolder of images for each class, got '
                f'images without one in {folder!r}.'
            )
        self._files = _some(known)
        check_readable([path for path, _ in self._files], '--test')

    def __str__(self) -> str:
        return f'{len(self._files):,} images in {self.folder}'

    def read(self, pipeline: ImagePipeline) -> Iterator[Labeled]:
        """Read the images one by one with their labels."""
        for path, label in self._files:
            yield pipeline.read(path), label


class RunImages:
    """The test images of a run, or, if it has none, its validation images.

    Args:
        cfg (Config): The config of the run.
        trusted (bool): Whether the config may build any dataset. If not, for
            example if it comes from a checkpoint, only :data:`HARMLESS` ones are
            built.

    Raises:
        ValueError: If the config has no dataset, or one that may not be built,
            or images or labels cannot be read.
    """

    def __init__(self, cfg: Config, trusted: bool) -> None:
        self.stage = 'test' if cfg.get('test_dataloader') else 'val'
        loader = cfg.get(f'{self.stage}_dataloader')
        dataset = loader.get('dataset') if isinstance(loader, dict) else None
        if not isinstance(dataset, dict) or 'type' not in dataset:
            raise ValueError('the config of the run has no `test_dataloader.dataset`')
        if not trusted:
            check_types(dataset, f'{self.stage}_dataloader.dataset')
        scope = cfg.get('default_scope') or 'mmengine'
        with DefaultScope.overwrite_default_scope(scope):
            if not trusted and _class_of(dataset) not in HARMLESS:
                raise ValueError(
                    f'the checkpoint names the dataset {dataset["type"]!r}, which is '
                    'built with --config or --trust-checkpoint alone'
                )
            self._dataset: Any = _build(dict(_offline(dataset), test_mode=True))
        self._indices = _some(range(len(self._dataset)))
        for sample in map(self._sample, self._indices[:1]):
            if len(sample[1].get('gt_label', ())) != 1:
                raise ValueError(f'the {self.stage} images have no single label each')

    def __str__(self) -> str:
        return f'{len(self._indices):,} {self.stage} images of the run'

    def read(self, pipeline: ImagePipeline) -> Iterator[Labeled]:
        """Read the images one by one with their labels.

        Args:
            pipeline (ImagePipeline): Not used: the dataset has its own.
        """
        for index in self._indices:
            inputs, sample = self._sample(index)
            yield inputs, int(sample.gt_label)

    def _sample(self, index: int) -> Tuple[dict, Any]:
        item = self._dataset[index]
        return dict(inputs=item['inputs']), item['data_samples']


LabeledImages = Union[FolderImages, RunImages]


def _class_of(dataset: dict, scope: Optional[str] = None) -> Any:
    """Return what a dataset will be built of."""
    kind = dataset.get('type')
    if not isinstance(kind, str):
        return kind
    with DATASETS.switch_scope_and_registry(dataset.get('_scope_', scope)) as registry:
        return registry.get(kind)


def _offline(dataset: dict, scope: Optional[str] = None) -> dict:
    """Return the settings of a dataset that downloads nothing."""
    kind, inner = _class_of(dataset, scope), dataset.get('dataset')
    if not isinstance(kind, type):
        return dataset
    if issubclass(kind, (CIFAR10, MNIST)):
        return dict(dataset, download=False)
    if issubclass(kind, InnerDataset) and isinstance(inner, dict):
        return dict(dataset, dataset=_offline(inner, dataset.get('_scope_', scope)))
    return dataset


def _build(settings: dict) -> Any:
    try:
        return DATASETS.build(settings)
    except Exception as error:  # datasets without files raise different errors
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f'the images of the run cannot be read ({line})') from error


def _some(items: Sequence) -> List:
    """Choose at most :data:`MOST_IMAGES` items, always the same ones."""
    items = list(items)
    if len(items) <= MOST_IMAGES:
        return items
    return [
        items[i]
        for i in sorted(random.Random(0).sample(range(len(items)), MOST_IMAGES))
    ]
