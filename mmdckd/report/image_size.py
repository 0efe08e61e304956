# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the size of images in a config."""

from typing import Optional, Tuple

from mmengine.config import Config


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
        size = transform.get('crop_size', transform.get('scale'))
        if size:
            return (size, size) if isinstance(size, int) else tuple(size)
    return None
