# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Dict, List, NamedTuple, Optional

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmdckd.io.checkpoints import class_names_in, require_fit, state_dict_in
from mmdckd.models.weights import read_checkpoint
from mmdckd.names import distinct_names


class Network(NamedTuple):
    """An image classifier with its weights.

    Attributes:
        model (nn.Module): The classifier, in evaluation mode, on the CPU.
        classes (List[str], optional): The names of its classes, all different;
            None if its checkpoint does not have them.
    """

    model: nn.Module
    classes: Optional[List[str]]


def build_network(
    cfg: Config, state_dict: Dict[str, Tensor], path: str, remedy: str
) -> nn.Module:
    """Build a classifier as :func:`mmpretrain.get_model` does, and load weights.

    Args:
        cfg (Config): Its config.
        state_dict (Dict[str, Tensor]): All of its weights.
        path (str): The path of the weights, for the error message.
        remedy (str): How to fix weights that do not fit, for the error message.

    Returns:
        nn.Module: The classifier.

    Raises:
        ValueError: If the weights do not fit.
    """
    # Building a model changes its config.
    model_cfg, preprocessor = copy.deepcopy((cfg.model, cfg.get('data_preprocessor')))
    model_cfg.setdefault('data_preprocessor', preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmpretrain'):
        model = MODELS.build(model_cfg)
    require_fit(model, state_dict, 'checkpoint', path, remedy)
    return model


def load_network(cfg: Config, checkpoint: str) -> Network:
    """Load an exported student, or another classifier of MMPretrain.

    Args:
        cfg (Config): Its config.
        checkpoint (str): The path of its weights, ``.pth`` or ``.safetensors``.

    Returns:
        Network: The classifier and its classes.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the checkpoint cannot be read or does not fit.
    """
    content = read_checkpoint(checkpoint, 'model')
    model = build_network(
        cfg,
        state_dict_in(content),
        checkpoint,
        f'Give the weights that were exported with {cfg.filename!r}.',
    )
    classes = class_names_in(content)
    return Network(model.eval(), None if classes is None else distinct_names(classes))
