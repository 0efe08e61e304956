# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Callable, List, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from torch import Tensor

from mmdckd.io.config_file import read_config
from mmdckd.io.data import parse_json
from mmdckd.io.images import MAX_PIXELS
from mmdckd.models.tasks import Classification, build_task
from mmdckd.names import distinct_names

from .image_pipeline import ImagePipeline
from .network import load_network

#: The metadata key of an ONNX file's class names.
CLASSES_KEY = 'classes'
#: The metadata key of its task.
TASK_KEY = 'task'
#: The name of its input.
INPUT = 'images'
#: The file extensions of an exported student's weights.
ENDINGS = ('.pth', '.safetensors', '.onnx')
#: The ending of a quantized file's name; it shares the config of the others.
INT8 = '.int8.onnx'


class Predictor:
    """Classifies image files with an exported student.

    Images are preprocessed by the test pipeline in the student's config. A GPU
    is used if available; for ONNX, if onnxruntime supports it.

    Args:
        model (str): Any of the files that an export writes: ``NAME.py``,
            ``NAME.pth``, ``NAME.safetensors``, ``NAME.onnx`` or
            ``NAME.int8.onnx``. ``NAME.py``, which is executed, has to be in the
            same folder. For a config, of any MMPretrain classifier, the weights
            are those of its ``load_from``.
        max_pixels (int): The largest number of pixels; a larger image is not
            decoded. Defaults to 178,956,970, Pillow's limit.
        device (str, optional): A device of PyTorch. ONNX files run on the CPU
            for ``'cpu'`` and on any device otherwise. Defaults to None: a GPU if
            available.

    Raises:
        FileNotFoundError: If a file is missing.
        ModuleNotFoundError: If the file is ONNX and onnxruntime is not
            installed.
        ValueError: If a file has another extension, cannot be read, or does not
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
                'Invalid `model`: expected a file of an exported student, ending in '
                f'.py, {", ".join(ENDINGS)}, got {model!r}.'
            )
        if not osp.isfile(model):
            raise FileNotFoundError(
                f'Invalid `model`: expected an existing file, got {model!r}.'
            )
        config = f'{osp.splitext(stem)[0] if model.endswith(INT8) else stem}.py'
        if not osp.isfile(config):
            raise FileNotFoundError(
                f'Invalid `model`: expected its config {osp.basename(config)!r}, which '
                f'an export writes, in the same folder, got only {model!r}.'
            )
        self.cfg = read_config(config)
        weights = self.cfg.get('load_from') if ending == '.py' else model
        if weights is None:
            raise ValueError(
                'Invalid `model`: expected a config with `load_from`, or a file of '
                f'weights, got {config!r}, which names no weights.'
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
            images (List[dict]): B results of :meth:`read`.

        Returns:
            Tensor: The scores, of shape (B, C): each row sums to 1, unless the
            student is multi-label.
        """
        return self._scores(default_collate(images))

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its number if names are unknown."""
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
            f'{path!r} needs onnxruntime, which is not installed. Install the extra '
            "`onnx` (pip install 'mmdckd[onnx]'), or: pip install onnxruntime"
        ) from error
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Without it, sums of 8-bit products are cut off at 16 bits on x86 processors
        # without VNNI, and predictions differ from those on others.
        options.add_session_config_entry('session.x64quantprecision', '1')
        session = onnxruntime.InferenceSession(
            path,
            options,
            providers=['CPUExecutionProvider']
            if device == 'cpu'
            else onnxruntime.get_available_providers(),
        )
        names = [each.name for each in session.get_inputs()]
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ValueError(
            f'Invalid `model`: expected an ONNX file, got {path!r} ({error}).'
        ) from error
    if names != [INPUT]:
        raise ValueError(
            'Invalid `model`: expected an ONNX file written by '
            f'tools/export_student.py --onnx, with the inputs [{INPUT!r}], got '
            f'{path!r} with {names}.'
        )
    metadata = session.get_modelmeta().custom_metadata_map
    classes = metadata.get(CLASSES_KEY)
    task = build_task(metadata.get(TASK_KEY, Classification.name), TASK_KEY)

    def scores(batch: dict) -> Tensor:
        (logits,) = session.run(None, {INPUT: batch['inputs'].numpy()})
        return task.scores(torch.from_numpy(logits))

    return scores, None if classes is None else _class_names(classes, path)


def _class_names(text: str, path: str) -> List[str]:
    """Parse the names of classes in the metadata of an ONNX file."""
    where = f'`{CLASSES_KEY}` in {path!r}'
    classes = parse_json(text.encode(), where)
    if not isinstance(classes, list) or not all(
        isinstance(name, str) for name in classes
    ):
        raise ValueError(
            f'Invalid `{CLASSES_KEY}` in {path!r}: expected a list of names, got '
            f'{text!r}.'
        )
    return distinct_names(classes)
