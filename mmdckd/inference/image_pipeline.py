# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS

from mmdckd.io.images import MAX_PIXELS
from mmdckd.io.type_names import type_name


class ImagePipeline:
    """Converts an image to the input of a network, with the test pipeline.

    Args:
        cfg (Config): The config of an exported student, or of another
            classifier of MMPretrain.
        max_pixels (int): The largest number of pixels; a larger image is not
            decoded. Defaults to 178,956,970, Pillow's limit.

    Raises:
        ValueError: If the config has no test pipeline, or one that does not
            begin with ``LoadImageFromFile`` or ``LoadImage``.
    """

    def __init__(self, cfg: Config, max_pixels: int = MAX_PIXELS) -> None:
        dataset = (cfg.get('test_dataloader') or {}).get('dataset', {})
        if not dataset.get('pipeline'):
            raise ValueError(
                f'Invalid config {cfg.filename!r}: expected '
                '`test_dataloader.dataset.pipeline`, which converts an image to the '
                'input of the network, got none.'
            )
        load, *others = dataset['pipeline']
        if not type_name(load['type']).endswith(('LoadImageFromFile', 'LoadImage')):
            raise ValueError(
                f'Invalid `test_dataloader.dataset.pipeline` in {cfg.filename!r}: '
                f'expected LoadImageFromFile first, got {load["type"]!r}.'
            )
        with DefaultScope.overwrite_default_scope(
            cfg.get('default_scope') or 'mmpretrain'
        ):
            load = dict(load, type='mmdckd.LoadImage', max_pixels=max_pixels)
            self._load = TRANSFORMS.build(load)
            self._pack = Compose([TRANSFORMS.build(t) for t in others])

    @property
    def is_gray(self) -> bool:
        """bool: Whether images are read with one channel."""
        return self._load.color_type.startswith('grayscale')

    def read(self, path: str) -> dict:
        """Read an image file and convert it to the input of the network.

        Args:
            path (str): The file.

        Returns:
            dict: With ``inputs``, of shape (3, H, W), or (1, H, W) for gray images.

        Raises:
            OSError: If it cannot be read; the message has its path.
        """
        return self.pack(self._load(dict(img_path=path))['img'])

    def pack(self, image: np.ndarray) -> dict:
        """Convert an image to the input of the network.

        Args:
            image (np.ndarray): BGR pixels of shape (H, W, 3), as read by OpenCV,
                or gray ones of shape (H, W).

        Returns:
            dict: See :meth:`read`.
        """
        size = image.shape[:2]
        return self._pack(dict(img=image, img_shape=size, ori_shape=size))
