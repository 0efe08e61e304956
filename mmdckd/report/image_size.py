# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the size of images in a config."""

from typing import Optional, Tuple

from mmengine.config import Config

from mmdckd.io.type_names import type_name

#: The transforms of MMCV whose sizes are a width and a height; those of MMPretrain
#: are a height and a width.
_WIDTH_FIRST = ('Resize', 'CenterCrop')


def train_image_size(cfg: Config) -> Optional[Tuple[int, int]]:
    """Return the height and width of images after the training pipeline.

    Args:
        cfg (Config): The config of a run.

    Returns:
        Tuple[int, int], optional: In pixels; None if no transform sets it.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset', {})
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    for transform in reversed(dataset.get('pipeline', [])):
        kind = type_name(transform.get('type'))
        if kind.startswith('torchvision/'):  # their `scale` is a range of areas
            size = transform.get('size')
        else:
            size = transform.get('crop_size', transform.get('scale'))
        if size:
            sides = (size, size) if isinstance(size, int) else tuple(size)
            return sides[::-1] if kind in _WIDTH_FIRST else sides
    return None
