# Copyright (c) mmdckd contributors. All rights reserved.
import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain.models.backbones.mixmim import MixMIMBlock
from mmpretrain.models.utils import ShiftWindowMSA
from torch import Tensor, nn

from mmdckd.inference.image_pipeline import ImagePipeline
from mmdckd.inference.network import load_network
from mmdckd.inference.predictor import CLASSES_KEY, INPUT, TASK_KEY
from mmdckd.io.config_file import read_config
from mmdckd.io.files import replacing
from mmdckd.models.tasks import find_task, predicted_scores

#: The largest difference between PyTorch and ONNX, relative to the largest logit.
TOLERANCE = 1e-4
_NEEDED = ('onnx', 'onnxscript', 'onnxruntime')


def export_onnx(config: str, out: str) -> float:
    """Write an exported student as ONNX, and compare it with PyTorch.

    The file has one input, ``images``, of shape (B, 3, H, W): the result of the
    test pipeline, with pixels from 0 to 255, BGR unless a transform changes the
    order, as for CIFAR. For gray images, it is (B, 1, H, W). Normalization, and
    the channel order of the ``data_preprocessor``, are part of the graph. The
    output is ``logits``, of shape (B, C). B is arbitrary; H and W are those of the
    pipeline. The metadata contain the names of the classes as JSON under
    ``classes``, and the task under ``task``.

    To compare, onnxruntime and PyTorch classify random images in batches of 1, 2
    and 5 on the CPU.

    Args:
        config (str): The config of the student, written by
            :func:`~mmdckd.export.export_student`.
        out (str): The file to write.

    Returns:
        float: The largest difference between the logits.

    Raises:
        ModuleNotFoundError: If onnx, onnxscript or onnxruntime is missing.
        ValueError: If the pipeline does not resize all images to one size, ONNX
            cannot represent the network, or the logits differ by more than
            :data:`TOLERANCE` of the largest one. Then nothing is written.
    """
    require_onnx()
    cfg = read_config(config)
    images = random_images(cfg, 5)
    model, classes = load_network(cfg, cfg.load_from)
    _accept_any_batch(model)
    network = _Logits(model).eval()
    with torch.no_grad():
        expected = network(images)
    if not isinstance(expected, Tensor) or expected.ndim != 2:
        raise ValueError(
            f'Invalid `model.head` in {config!r}: expected one that returns logits '
            '(B, C), got another.'
        )
    try:
        # The exporter would treat a batch size of one as a constant.
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
            f'Invalid `model` in {config!r}: expected a network that can be exported '
            f'to ONNX, got one that cannot: {str(error).splitlines()[0]}'
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
                f'Invalid `model` in {config!r}: expected the same logits as ONNX, '
                f'got differences of up to {difference:.2g}, where the largest logit '
                f'is {float(expected.abs().max()):.2g}.'
            )
    return difference


def require_onnx() -> None:
    """Check that the packages of the extra ``onnx`` are installed.

    Raises:
        ModuleNotFoundError: If one is missing; the message says how to install it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f'ONNX needs {", ".join(missing)}, which cannot be imported. '
            f"Install the extra `onnx` (pip install 'mmdckd[onnx]'), or: "
            f'pip install {" ".join(missing)}'
        )


def _accept_any_batch(model: nn.Module) -> None:
    """Let windows of any number of images be traced.

    MMPretrain computes that number with floats, which the exporter takes for a
    constant: a Swin transformer would be right for batches of two images only.
    """
    for module in model.modules():
        if isinstance(module, (ShiftWindowMSA, MixMIMBlock)):
            module.window_reverse = _window_reverse  # type: ignore[assignment]


def _window_reverse(windows: Tensor, height: int, width: int, size: int) -> Tensor:
    """Join windows to feature maps (B, H, W, C); see ``ShiftWindowMSA``."""
    rows, columns = height // size, width // size
    parts = windows.view(-1, rows, columns, size, size, windows.shape[-1])
    return parts.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])


class _Logits(nn.Module):
    """Maps packed images to logits, including the preprocessing."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        data = self.model.data_preprocessor(dict(inputs=images), False)
        output = self.model(data['inputs'], mode='tensor')
        return predicted_scores(self.model, output)


def random_images(cfg: Config, count: int) -> Tensor:
    """Create random images of two sizes and pack them with the pipeline."""
    pipeline = ImagePipeline(cfg)
    random = np.random.RandomState(0)
    sizes = [(240, 320) if i % 2 else (360, 240) for i in range(count)]
    channels = () if pipeline.is_gray else (3,)
    packed = [
        pipeline.pack(random.randint(0, 256, (*size, *channels), np.uint8))
        for size in sizes
    ]
    shapes = {tuple(each['inputs'].shape) for each in packed}
    if len(shapes) > 1:
        raise ValueError(
            'Invalid `test_dataloader.dataset.pipeline` in '
            f'{cfg.filename!r}: expected images of one size, which ONNX needs, got '
            f'{sorted(shapes)}. Add a transform that resizes them.'
        )
    return default_collate(packed)['inputs']


def _difference(path: str, images: Tensor, expected: Tensor) -> float:
    """Compute the largest difference of logits over batches of several sizes."""
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
