# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from importlib.util import find_spec
from typing import Any, Dict, List, NamedTuple, Optional

import torch
from mmengine.config import Config
from torch import Tensor

from mmdckd.console.messages import warn
from mmdckd.inference.network import build_network
from mmdckd.io.config_text import format_config
from mmdckd.io.files import path_below, replacing, write_text
from mmdckd.io.trust import are_trusted
from mmdckd.models.weights import read_checkpoint
from mmdckd.names import BEST
from mmdckd.version import __version__

from .cohort_checkpoint import choose, config_of, meta_of, students_of
from .config_types import check_types
from .plain_config import plain_config

# What of a config is built, here or by who uses the exported student.
_BUILT = (
    'model',
    'data_preprocessor',
    'val_dataloader',
    'val_evaluator',
    'test_dataloader',
    'test_evaluator',
)


class ExportedStudent(NamedTuple):
    """What an export has written.

    Attributes:
        name (str): The name of the student.
        config (str): Path of its plain MMPretrain config.
        checkpoint (str): Path of its plain MMPretrain checkpoint.
        safetensors (str, optional): Path of the same weights as safetensors;
            None where that package is not installed.
    """

    name: str
    config: str
    checkpoint: str
    safetensors: Optional[str] = None


def export_student(
    checkpoint: str, out_dir: str, student: str = BEST, cfg: Optional[Config] = None
) -> ExportedStudent:
    """Write one student of a cohort as a plain MMPretrain model.

    ``<out_dir>/<student>.pth`` holds its weights, the names of its classes
    and where it comes from; ``<out_dir>/<student>.py`` its config, which
    names the checkpoint beside it. Neither needs mmdckd or mmrazor, and the
    student predicts, bit for bit, what it predicts inside the cohort.
    ``<out_dir>/<student>.safetensors`` holds the same weights in a format that
    cannot run code, whoever loads it; it takes the package ``safetensors``.

    The weights are the checkpoint's ``state_dict``: with an ``EMAHook``
    MMEngine keeps the averaged ones there, those that validation measured.

    Before anything is written, the student is built as MMPretrain will build
    it, and every key of the weights has to fit.

    Args:
        checkpoint (str): Path of a checkpoint that the run of a
            :class:`~mmdckd.models.algorithms.CollectiveDistill` wrote. It is
            read with ``weights_only=True``, its config is not run, and may
            name parts of OpenMMLab alone: it cannot run code.
        out_dir (str): The folder to write to; it is made if need be.
        student (str): The name of a student, or ``'best'`` for the one that
            was best in the last validation before the checkpoint was
            written. Defaults to ``'best'``.
        cfg (Config, optional): The config of the run. Defaults to None, the
            one in the checkpoint.

    Returns:
        ExportedStudent: The student's name and the two paths.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the checkpoint cannot be read or holds no cohort, if
            there is no such student or no best one, if the student cannot be
            plain, if its weights do not fit its config, or if the config has
            anything but values in it. Nothing is written then.

    Examples:
        >>> from mmdckd.export import export_student
        >>> best = export_student('work_dirs/run/epoch_60.pth', 'exported')
        >>> from mmpretrain import ImageClassificationInferencer
        >>> inferencer = ImageClassificationInferencer(best.config)
    """
    content = read_checkpoint(checkpoint, 'checkpoint')
    students = students_of(content.get('state_dict', content), checkpoint)
    name = choose(student, list(students), content, checkpoint)
    _check_folder(out_dir)
    meta = meta_of(content, checkpoint)
    classes = (meta.get('dataset_meta') or {}).get('classes')
    trusted = cfg is not None or are_trusted()
    if cfg is None:
        cfg = config_of(meta, name, checkpoint)
    if not trusted:
        for key in _BUILT:
            check_types(cfg.get(key), key)

    try:
        plain = plain_config(cfg, name, classes, trusted)
        if not trusted:  # and what a config that it names has added
            check_types(plain.model, 'model')
        build_network(
            plain,
            students[name],
            f'checkpoint {checkpoint!r} (student {name!r})',
            'Give the config of the run that wrote the checkpoint.',
        )
    except (ModuleNotFoundError, ValueError):
        raise
    except Exception as error:  # as a part of the config leads to anything
        raise ValueError(
            f'The config of the checkpoint {checkpoint!r} describes no '
            f'student that can be built: {type(error).__name__}: '
            f'{error}'
        ) from error
    if 'test_dataloader' not in plain:
        warn(
            'The config names no pipeline for testing: the exported student '
            f'{name!r} can be loaded with mmpretrain.get_model, and '
            'mmpretrain.ImageClassificationInferencer, which needs '
            '`test_dataloader.dataset.pipeline`, will not take it.'
        )
    out_meta: Dict[str, Any] = {
        key: meta[key]
        for key in ('epoch', 'iter', 'seed', 'experiment_name')
        if key in meta
    }
    out_meta.update(
        student=name,
        source=osp.basename(checkpoint),
        mmdckd_version=__version__,
        cfg=format_config(plain.to_dict()),
    )
    if classes is not None:
        out_meta['dataset_meta'] = dict(classes=list(classes))
    text = format_config(plain.to_dict(), _header(plain, cfg, out_meta), f'{name}.pth')

    config, weights, safetensors = (
        path_below(out_dir, f'{name}.{ending}')
        for ending in ('py', 'pth', 'safetensors')
    )
    exported = ExportedStudent(name, config, weights, safetensors)
    with replacing(weights) as path:
        torch.save(dict(meta=out_meta, state_dict=students[name]), path)
    write_text(config, text)
    if find_spec('safetensors') is None:
        warn(
            'No safetensors file is written, as the package safetensors is '
            'not installed.'
        )
        return exported._replace(safetensors=None)
    with replacing(safetensors) as path:
        _save_safetensors(students[name], out_meta, path)
    return exported


def _check_folder(out_dir: str) -> None:
    """Refuse a folder whose name MMEngine cannot put into a config: there
    `{{ fileDirname }}` stands inside quotes."""
    path = osp.abspath(out_dir)
    if not path.isprintable() or any(c in path for c in ("'", '\\', '{{')):
        raise ValueError(
            f'Invalid folder to export to, {out_dir!r}: expected a path '
            'without quotes, backslashes, double braces and control '
            f'characters, got {path!r}.'
        )


def _save_safetensors(state_dict: Dict[str, Tensor], meta: dict, path: str) -> None:
    from safetensors.torch import save_file

    # Each on its own: weights that share memory are refused.
    weights = {key: value.clone() for key, value in state_dict.items()}
    save_file(
        {key: value.contiguous() for key, value in weights.items()},
        path,
        metadata=dict(format='pt', student=meta['student']),
    )


def _header(plain: Config, cfg: Config, meta: dict) -> List[str]:
    """The comment at the head of the config."""
    name = meta['student']
    lines = [
        'A student of a cohort, for MMPretrain alone (written by mmdckd '
        f'{__version__}):',
        '  from mmpretrain import ImageClassificationInferencer',
        f"  ImageClassificationInferencer('{name}.py')('an/image.png')",
        f'It is {name} of {meta["source"]}.',
    ]
    if 'test_dataloader' in plain:
        loader = cfg.get('test_dataloader') or cfg.val_dataloader
        own = loader['dataset'].get('type')
        if plain.test_dataloader.dataset.get('type') != own:
            lines += [
                f'It was tested on {own}, which MMPretrain does not have. To test',
                'it there, set `test_dataloader.dataset.data_root` to '
                'a folder that has one',
                'folder of images for each class; sorted by name, they are '
                'the classes in order.',
            ]
    return lines
