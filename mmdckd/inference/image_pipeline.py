# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS

from mmdckd.io.images import MAX_PIXELS


class ImagePipeline:
    """From an image to what a network takes: the pipeline of testing.

    Args:
        cfg (Config): The config of an exported student, or of another
            classifier of MMPretrain.
        max_pixels (int): How many pixels an image may have; one with more is
            not decoded. Defaults to 178,956,970, Pillow's limit.

    Raises:
        ValueError: If the config has no such pipeline, or one that does not
            begin with ``LoadImageFromFile``.
    """

    def __init__(self, cfg: Config, max_pixels: int = MAX_PIXELS) -> None:
        dataset = (cfg.get('test_dataloader') or {}).get('dataset', {})
        if not dataset.get('pipeline'):
            raise ValueError(
                f'{cfg.filename!r} has no '
                '`test_dataloader.dataset.pipeline`, which says how an image '
                'becomes the input of the network.'
            )
        load, *others = dataset['pipeline']
        if not str(load['type']).endswith('LoadImageFromFile'):
            raise ValueError(
                f'`test_dataloader.dataset.pipeline` of {cfg.filename!r} '
                f'should begin with LoadImageFromFile, not {load["type"]!r}.'
            )
        with DefaultScope.overwrite_default_scope(
            cfg.get('default_scope') or 'mmpretrain'
        ):
            load = dict(load, type='mmdckd.LoadImage', max_pixels=max_pixels)
            self._load = TRANSFORMS.build(load)
            self._pack = Compose([TRANSFORMS.build(t) for t in others])

    def read(self, path: str) -> dict:
        """Read an image file as the network takes it.

        Args:
            path (str): The file.

        Returns:
            dict: With ``inputs``, of shape (3, H, W).

        Raises:
            OSError: If it cannot be read; the message names it.
        """
        return self.pack(self._load(dict(img_path=path))['img'])

    def pack(self, image: np.ndarray) -> dict:
        """Prepare an image as the network takes it.

        Args:
            image (np.ndarray): Of shape (H, W, 3), as OpenCV reads it (BGR).

        Returns:
            dict: As of :meth:`read`.
        """
        size = image.shape[:2]
        return self._pack(dict(img=image, img_shape=size, ori_shape=size))
