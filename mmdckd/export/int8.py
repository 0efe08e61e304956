# Copyright (c) mmdckd contributors. All rights reserved.
"""Quantize an ONNX file to 8-bit integers."""

import os.path as osp
import random
from tempfile import TemporaryDirectory
from typing import Iterator, List, Sequence

import numpy as np

from mmdckd.inference.image_files import check_readable, images_in
from mmdckd.inference.image_pipeline import ImagePipeline
from mmdckd.inference.predictor import INPUT
from mmdckd.io.config_file import read_config
from mmdckd.io.files import replacing

from .onnx_file import require_onnx

#: The largest number of images on which ranges of activations are measured.
CALIBRATION_IMAGES = 256
_BATCH = 16
#: The operators that are quantized in a network with layer or group normalization.
#: Others, such as additions to the residual stream, would lose far more accuracy,
#: because all channels share one scale.
_PRODUCTS = ['Conv', 'Gemm', 'MatMul']
#: The operators of these normalizations. onnxruntime fails to quantize all operators
#: of a network with group normalization, which becomes instance normalization.
_NORMS = {'LayerNormalization', 'InstanceNormalization', 'GroupNormalization'}


def calibration_images(folder: str) -> List[str]:
    """Choose the calibration images of a folder, always the same ones.

    Args:
        folder (str): A folder of images, with or without subfolders.

    Returns:
        List[str]: At most :data:`CALIBRATION_IMAGES` paths.

    Raises:
        ValueError: If the folder has no image, or a chosen one cannot be read.
    """
    paths = images_in(folder, '--calibrate')
    if len(paths) > CALIBRATION_IMAGES:
        paths = sorted(random.Random(0).sample(paths, CALIBRATION_IMAGES))
    check_readable(paths, '--calibrate')
    return paths


def export_int8(config: str, onnx: str, out: str, images: Sequence[str]) -> None:
    """Write an exported student as an ONNX file with 8-bit integers.

    It uses onnxruntime's static quantization in QDQ format. Weights are int8 with
    a scale for each output channel; activations are uint8 between the smallest and
    largest value on the calibration images. In a network with layer or group
    normalization (a transformer), only convolutions and matrix products are
    quantized. Input, output and metadata are those of the float file.

    Args:
        config (str): The config of the student, with its test pipeline.
        onnx (str): The float file from :func:`~mmdckd.export.export_onnx`.
        out (str): The file to write.
        images (Sequence[str]): The calibration images.

    Raises:
        ModuleNotFoundError: If a package is missing.
        ValueError: If an image cannot be decoded.
    """
    require_onnx()
    import onnx as onnx_format
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, batches: Iterator[np.ndarray]) -> None:
            self.batches = batches

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    pipeline = ImagePipeline(read_config(config))
    operators = {node.op_type for node in onnx_format.load(onnx).graph.node}
    with TemporaryDirectory() as folder, replacing(out) as beside:
        prepared = osp.join(folder, 'prepared.onnx')
        quant_pre_process(onnx, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            beside,
            Reader(_batches(pipeline, images)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=(_PRODUCTS if operators & _NORMS else None),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _batches(pipeline: ImagePipeline, paths: Sequence[str]) -> Iterator[np.ndarray]:
    for start in range(0, len(paths), _BATCH):
        images = []
        for path in paths[start : start + _BATCH]:
            try:
                images.append(pipeline.read(path)['inputs'].numpy())
            except OSError as error:
                raise ValueError(
                    'Invalid `--calibrate`: expected images that can be read, got '
                    f'{path!r}: {error.__cause__ or error}'
                ) from error
        yield np.stack(images)
