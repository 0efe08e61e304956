# Copyright (c) mmdckd contributors. All rights reserved.
"""Read weights from a folder written by ``save_pretrained`` of transformers."""

import json
import os.path as osp
from importlib.util import find_spec
from typing import Dict

from torch import Tensor


def is_transformers_file(path: str) -> bool:
    """Tell whether a file of weights lies in such a folder and transformers is
    installed to read it.

    Args:
        path (str): The file.
    """
    config = osp.join(osp.dirname(path), 'config.json')
    if osp.basename(path) != 'model.safetensors' or not osp.isfile(config):
        return False
    with open(config, encoding='utf-8') as file:
        is_theirs = 'transformers_version' in json.load(file)
    return is_theirs and find_spec('transformers') is not None


def read_transformers_folder(folder: str) -> Dict[str, Tensor]:
    """Read the weights of an image classifier.

    Since version 5, the names in a file of transformers differ from those of
    the network's parameters; transformers translates them when it reads a
    folder.

    Args:
        folder (str): The folder.

    Returns:
        Dict[str, Tensor]: Parameter name to weights.

    Raises:
        ValueError: If the file lacks the weights of some parameters.
    """
    from transformers import AutoModelForImageClassification

    network, info = AutoModelForImageClassification.from_pretrained(
        folder, output_loading_info=True, local_files_only=True
    )
    if info['missing_keys']:
        missing = ', '.join(sorted(info['missing_keys'])[:5])
        raise ValueError(
            f'Invalid folder {folder!r}: expected all weights of a '
            f'{type(network).__name__}, got none for {missing}.'
        )
    return network.state_dict()
