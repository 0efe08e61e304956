# Copyright (c) mmdckd contributors. All rights reserved.
"""Make thumbnails of a run's validation images without running its files."""

import base64
import io
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image

from mmdckd.evaluation import split_files
from mmdckd.io.images import file_fault, open_image, size_fault
from mmdckd.io.rgb import upright_rgb

from .recorded_run import RecordedRun

#: The longer side of a thumbnail in pixels.
SIZE = 112
#: Datasets with images in memory that a config may name here: none of them reads
#: files that can run code.
IN_MEMORY = ('CIFAR10', 'CIFAR100', 'Digits', 'FashionMNIST', 'Glyph62', 'MNIST')
#: The arguments that such a dataset may have; nothing is downloaded.
_ARGUMENTS = (
    'type',
    'split',
    'data_root',
    'data_prefix',
    'indices',
    'num_images',
    'size',
    'subset',
    'test_mode',
)


class Pictures(NamedTuple):
    """The thumbnails of images.

    Attributes:
        shown (Dict[int, str]): Index of an image to a data URL.
        faults (Dict[int, str]): Index of an image whose file cannot be read to
            the reason.
    """

    shown: Dict[int, str]
    faults: Dict[int, str]


def read_pictures(run: RecordedRun, indices: Sequence[int]) -> Pictures:
    """Read validation images of a run and shrink them.

    Args:
        run (RecordedRun): The run, with predictions in its statistics.
        indices (Sequence[int]): The indices of the images in the predictions.

    Returns:
        Pictures: The thumbnails.

    Raises:
        ValueError: If the images are in no files, and their dataset cannot be
            read; the message says why.
    """
    assert run.statistics is not None
    files = split_files(run.statistics['files'])
    if not any(files[index] for index in indices):
        images = _read_dataset(run, indices)
        return Pictures(dict(zip(indices, map(_address, images))), {})
    pictures = Pictures({}, {})
    for index in indices:
        try:
            pictures.shown[index] = _address(_read_file(files[index]))
        except ValueError as error:
            pictures.faults[index] = str(error)
    return pictures


def _read_file(path: str) -> Image.Image:
    fault = file_fault(path)
    if fault is None:
        try:
            with open(path, 'rb') as file:
                content = file.read()
        except OSError as error:
            raise ValueError(f'{path!r} cannot be read: {error.strerror}') from error
        fault = size_fault(content)
    if fault is not None:
        raise ValueError(f'{path!r}: {fault}')
    with open_image(content) as image:
        try:
            image.draft('RGB', (2 * SIZE, 2 * SIZE))
            return upright_rgb(image)
        except Exception as error:  # decoders raise errors of any type
            raise ValueError(f'{path!r} cannot be decoded: {error}') from error


def _read_dataset(run: RecordedRun, indices: Sequence[int]) -> List[Image.Image]:
    assert run.statistics is not None
    dataset = build_dataset(run.config)
    images = []
    for index in indices:
        number = int(run.statistics['numbers'][index])
        label = int(run.statistics['labels'][index])
        if not 0 <= number < len(dataset):
            raise ValueError('its dataset has other images now')
        info = dataset.get_data_info(number)
        if int(info['gt_label']) != label or 'img' not in info:
            raise ValueError('its dataset has other images now')
        pixels = np.asarray(info['img'], np.uint8)
        # RGB, as CIFAR has them, or gray.
        if pixels.ndim == 3 and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        images.append(Image.fromarray(pixels).convert('RGB'))
    return images


def build_dataset(config: Config) -> Any:
    """Build the validation dataset of a run, if its images are in memory.

    Raises:
        ValueError: If the dataset has another type, or its files are missing.
    """
    cfg = (config.get('val_dataloader') or {}).get('dataset') or {}
    kind = str(cfg.get('type'))
    scope, _, name = kind.rpartition('.')
    scope = scope.partition('.')[0]  # of a lazy config it is the module
    if name not in IN_MEMORY or scope not in ('', 'mmdckd', 'mmpretrain'):
        raise ValueError(f'images of the dataset {kind} are in no files')
    cfg = {key: cfg[key] for key in _ARGUMENTS if key in cfg}
    cfg['type'] = f'{scope or "mmpretrain"}.{name}'
    if scope != 'mmdckd':
        cfg['download'] = False
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return DATASETS.build(dict(cfg, pipeline=[]))
    except Exception as error:  # datasets raise errors of any type
        raise ValueError(f'the dataset {kind} cannot be read: {error}') from error


def _address(image: Image.Image) -> str:
    """Convert a picture to a data URL; small ones are enlarged pixel by pixel."""
    grow = SIZE // max(image.size)
    if grow > 1:
        image = image.resize(
            (image.width * grow, image.height * grow), Image.Resampling.NEAREST
        )
    image.thumbnail((SIZE, SIZE))
    kind = 'PNG' if grow > 1 else 'JPEG'
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, quality=80)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f'data:image/{kind.lower()};base64,{text}'
