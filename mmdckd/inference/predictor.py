# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Callable, List, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from torch import Tensor

from mmdckd.io.data import parse_json
from mmdckd.io.images import MAX_PIXELS
from mmdckd.models.tasks import Classification, build_task

from .image_pipeline import ImagePipeline
from .network import load_network

#: Where an ONNX file keeps the names of its classes.
CLASSES_KEY = 'classes'
#: Where it keeps the name of its task.
TASK_KEY = 'task'
#: What it calls the images that it takes.
INPUT = 'images'
#: What the weights of an exported student may be.
ENDINGS = ('.pth', '.safetensors', '.onnx')
#: How the name of a quantized file ends; it has the config of the others.
INT8 = '.int8.onnx'


class Predictor:
    """Classifies image files with an exported student.

    The images go through the pipeline of testing in the student's config. A
    GPU is used where there is one, for ONNX where onnxruntime has it.

    Args:
        model (str): Any of the files that an export writes, ``NAME.py``,
            ``NAME.pth``, ``NAME.safetensors``, ``NAME.onnx`` or
            ``NAME.int8.onnx``; ``NAME.py``, which is run, has to lie beside.
            Without weights in the name they are those that the config names as
            ``load_from``. It may be any config of an MMPretrain classifier.
        max_pixels (int): How many pixels an image may have; one with more is
            not decoded. Defaults to 178,956,970, Pillow's limit.
        device (str, optional): ``'cpu'``, or another device of PyTorch, which
            ONNX files take for any. Defaults to None, a GPU where there is one.

    Raises:
        FileNotFoundError: If a file is missing.
        ModuleNotFoundError: If the file is ONNX, and onnxruntime is not
            installed.
        ValueError: If a file is none of these, cannot be read, or does not
            fit.

    Examples:
        >>> predictor = Predictor('exported/student0.pth')
        >>> scores = predictor([predictor.read('image.png')])
        >>> scores.shape
        torch.Size([1, 10])
    """

    def __init__(
        self, model: str, max_pixels: int = MAX_PIXELS, device: Optional[str] = None
    ) -> None:
        stem, ending = osp.splitext(model)
        if ending not in ENDINGS and ending != '.py':
            raise ValueError(
                f'{model!r} is no exported student: it should '
                f'end with .py, {", ".join(ENDINGS)}.'
            )
        if not osp.isfile(model):
            raise FileNotFoundError(f'There is no {model!r}.')
        config = f'{osp.splitext(stem)[0] if model.endswith(INT8) else stem}.py'
        if not osp.isfile(config):
            raise FileNotFoundError(
                f'Beside {model!r} lies no {osp.basename(config)!r}, the '
                'config that an export writes with it.'
            )
        self.cfg = Config.fromfile(config)
        weights = self.cfg.get('load_from') if ending == '.py' else model
        if weights is None:
            raise ValueError(
                f'{config!r} names no weights as `load_from`; '
                'give the file of weights beside it.'
            )
        self.pipeline = ImagePipeline(self.cfg, max_pixels)
        self._scores, self.classes = (
            _onnx(weights, device)
            if ending == '.onnx'
            else _pytorch(self.cfg, weights, device)
        )

    def read(self, path: str) -> dict:
        """Read an image file; see :meth:`ImagePipeline.read`."""
        return self.pipeline.read(path)

    def __call__(self, images: List[dict]) -> Tensor:
        """Classify images of one size.

        Args:
            images (List[dict]): B images, as :meth:`read` gives them.

        Returns:
            Tensor: The scores, of shape (B, C): each row sums to 1, unless the
            student is multi-label.
        """
        return self._scores(default_collate(images))

    def name_of(self, label: int) -> str:
        """The name of a class; its number where names are not known."""
        if self.classes is None or label >= len(self.classes):
            return str(label)
        return self.classes[label]


def _pytorch(
    cfg: Config, path: str, device: Optional[str]
) -> Tuple[Callable, Optional[List[str]]]:
    model, classes = load_network(cfg, path)
    model.to(device or get_device())

    @torch.no_grad()
    def scores(batch: dict) -> Tensor:
        return torch.stack(
            [sample.pred_score for sample in model.test_step(batch)]
        ).cpu()

    return scores, classes


def _onnx(path: str, device: Optional[str]) -> Tuple[Callable, Optional[List[str]]]:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{path!r} needs onnxruntime. Install the extra `onnx` '
            "(pip install 'mmdckd[onnx]'), or: pip install onnxruntime"
        ) from error
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            path,
            options,
            providers=['CPUExecutionProvider']
            if device == 'cpu'
            else onnxruntime.get_available_providers(),
        )
        names = [each.name for each in session.get_inputs()]
    except Exception as error:  # it has a dozen, without a parent
        raise ValueError(f'{path!r} cannot be read: {error}') from error
    if names != [INPUT]:
        raise ValueError(
            f'{path!r} was not written by '
            'tools/export_student.py --onnx: its inputs are '
            f'{names}, and not [{INPUT!r}].'
        )
    metadata = session.get_modelmeta().custom_metadata_map
    classes = metadata.get(CLASSES_KEY)
    task = build_task(metadata.get(TASK_KEY, Classification.name), TASK_KEY)

    def scores(batch: dict) -> Tensor:
        (logits,) = session.run(None, {INPUT: batch['inputs'].numpy()})
        return task.scores(torch.from_numpy(logits))

    return scores, None if classes is None else _class_names(classes, path)


def _class_names(text: str, path: str) -> List[str]:
    """The names of classes in the metadata of an ONNX file."""
    where = f'Invalid `{CLASSES_KEY}` in {path!r}: what it holds'
    classes = parse_json(text.encode(), where)
    if not isinstance(classes, list) or not all(
        isinstance(name, str) for name in classes
    ):
        raise ValueError(
            f'Invalid `{CLASSES_KEY}` in {path!r}: expected a list of names.'
        )
    return classes
