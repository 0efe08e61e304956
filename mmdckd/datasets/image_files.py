# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Any, List, Sequence

from mmpretrain.datasets import CustomDataset

from mmdckd.io.images import ENDINGS, find_files
from mmdckd.registry import DATASETS


@DATASETS.register_module()
class ImageFiles(CustomDataset):
    """All images in a folder and its subfolders, without labels.

    Hidden files and folders are ignored.

    Args:
        data_root (str): The folder.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset` except
            ``with_label``; ``extensions`` defaults to
            :data:`~mmdckd.io.images.ENDINGS`.

    Examples:
        >>> photos = ImageFiles('photos', pipeline=[dict(type='mmdckd.LoadImage')])
    """

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        kwargs.setdefault('extensions', ENDINGS)
        super().__init__(data_root=data_root, with_label=False, **kwargs)

    def _find_samples(self) -> List[str]:
        """List the path of each image below the folder."""
        return paths_below(self.img_prefix, '', self.extensions)


def paths_below(root: str, folder: str, endings: Sequence[str]) -> List[str]:
    """List the images in a folder at any depth, without hidden ones.

    Args:
        root (str): The folder that the returned paths are relative to.
        folder (str): The folder below it; ``''`` for the root itself.
        endings (Sequence[str]): The file extensions, in lower case.

    Returns:
        List[str]: The paths, in order.
    """
    files, _ = find_files(osp.join(root, folder), endings)
    return [osp.relpath(file, root) for file in files]
