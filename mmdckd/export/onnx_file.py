# Copyright (c) mmdckd contributors. All rights reserved.
import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from torch import Tensor, nn

from mmdckd.inference.image_pipeline import ImagePipeline
from mmdckd.inference.network import load_network
from mmdckd.inference.predictor import CLASSES_KEY, INPUT, TASK_KEY
from mmdckd.io.files import replacing
from mmdckd.models.tasks import find_task

#: By how much of the largest logit PyTorch and ONNX may differ.
TOLERANCE = 1e-4
_NEEDED = ('onnx', 'onnxscript', 'onnxruntime')


def export_onnx(config: str, out: str) -> float:
    """Write an exported student as ONNX, and compare it with PyTorch.

    The file has one input, ``images``, of shape (B, 3, H, W): what the
    pipeline of testing gives, pixels of 0 to 255 in the order in which OpenCV
    reads them (BGR). Normalization and channel order are in the graph. The
    output is ``logits``, of shape (B, C). B is any; H and W are what the
    pipeline ends with. The names of the classes are in the metadata, as JSON
    under ``classes``, and the name of the task under ``task``.

    Random images in batches of 1, 2 and 5 then go through onnxruntime and
    through PyTorch, both on the CPU.

    Args:
        config (str): The config of the student, as
            :func:`~mmdckd.export.export_student` writes it.
        out (str): The file to write to.

    Returns:
        float: The largest difference between the logits of both.

    Raises:
        ModuleNotFoundError: If onnx, onnxscript or onnxruntime is missing.
        ValueError: If the pipeline does not make all images equally large, if
            the network is none that ONNX can express, or if the logits differ
            by more than :data:`TOLERANCE` of the largest one. Nothing is
            written then.
    """
    require_onnx()
    cfg = Config.fromfile(config)
    images = random_images(cfg, 5)
    model, classes = load_network(cfg, cfg.load_from)
    network = _Logits(model).eval()
    with torch.no_grad():
        expected = network(images)
    if not isinstance(expected, Tensor) or expected.ndim != 2:
        raise ValueError(f'The head of {config!r} gives no logits (B, C).')
    try:
        # Of a batch of one the exporter takes the size for a constant.
        program: Any = torch.onnx.export(
            network,
            (images[:2],),
            input_names=[INPUT],
            output_names=['logits'],
            dynamic_shapes=({0: torch.export.Dim('batch')},),
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(
            f'{config!r} cannot be exported to ONNX: {str(error).splitlines()[0]}'
        ) from error
    task = find_task(None, dict(model=model))
    program.model.metadata_props[TASK_KEY] = task.name
    if classes is not None:
        program.model.metadata_props[CLASSES_KEY] = json.dumps(classes)
    with replacing(out) as partial:
        program.save(partial)
        difference = _difference(partial, images, expected)
        if not difference <= TOLERANCE * float(expected.abs().max()):
            raise ValueError(
                f'{config!r} gives other logits as ONNX: they differ by up to '
                f'{difference:.2g}, and the largest is '
                f'{float(expected.abs().max()):.2g}.'
            )
    return difference


def require_onnx() -> None:
    """Refuse to go on without the packages of the extra ``onnx``.

    Raises:
        ModuleNotFoundError: If one is missing; the message says how to install it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f'ONNX needs {", ".join(missing)}, which Python does not find. '
            f"Install the extra `onnx` (pip install 'mmdckd[onnx]'), or: "
            f'pip install {" ".join(missing)}'
        )


class _Logits(nn.Module):
    """The network from packed images to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        data = self.model.data_preprocessor(dict(inputs=images), False)
        return self.model(data['inputs'], mode='tensor')


def random_images(cfg: Config, count: int) -> Tensor:
    """Images as the pipeline packs them, from arrays of two sizes."""
    pipeline = ImagePipeline(cfg)
    random = np.random.RandomState(0)
    sizes = [(240, 320) if i % 2 else (360, 240) for i in range(count)]
    packed = [
        pipeline.pack(random.randint(0, 256, (*size, 3), np.uint8)) for size in sizes
    ]
    shapes = {tuple(each['inputs'].shape) for each in packed}
    if len(shapes) > 1:
        raise ValueError(
            'ONNX needs images of one size, and the pipeline of testing in '
            f'{cfg.filename!r} ends with {sorted(shapes)}, among '
            'others: let it resize to one.'
        )
    return default_collate(packed)['inputs']


def _difference(path: str, images: Tensor, expected: Tensor) -> float:
    """The largest difference of logits, over batches of several sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return max(
        float(
            (
                torch.from_numpy(session.run(None, {INPUT: images[:size].numpy()})[0])
                - expected[:size]
            )
            .abs()
            .max()
        )
        for size in (1, 2, 5)
    )
