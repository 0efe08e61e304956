# Copyright (c) mmdckd contributors. All rights reserved.
"""Read weights from a folder written by ``save_pretrained`` of transformers."""

import json
import os.path as osp
from glob import escape, glob
from importlib.util import find_spec
from typing import Dict, Optional

from torch import Tensor

#: How transformers names weights, in parts or in the formats of PyTorch, TensorFlow
#: and JAX. Its trainer also saves other ``.bin`` files.
_WEIGHTS = ('*.safetensors*', '*model*.bin*', '*.h5', '*.msgpack')


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


def other_weights(folder: str) -> Optional[str]:
    """Return the name of a file with weights in another form than one
    ``model.safetensors``, such as ``pytorch_model.bin``; None if there is none.

    Args:
        folder (str): The folder.
    """
    for pattern in _WEIGHTS:
        for path in sorted(glob(osp.join(escape(folder), pattern))):
            if osp.basename(path) != 'model.safetensors':
                return osp.basename(path)
    return None


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
