# Copyright (c) mmdckd contributors. All rights reserved.
import os
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

# The parts of a config that are built, here or by users of the exported student.
_BUILT = (
    'model',
    'data_preprocessor',
    'val_dataloader',
    'val_evaluator',
    'test_dataloader',
    'test_evaluator',
)


class ExportedStudent(NamedTuple):
    """The files of an exported student.

    Attributes:
        name (str): The name of the student.
        config (str): The path of its plain MMPretrain config.
        checkpoint (str): The path of its plain MMPretrain checkpoint.
        safetensors (str, optional): The path of the same weights as
            safetensors; None if that package is not installed.
    """

    name: str
    config: str
    checkpoint: str
    safetensors: Optional[str] = None


def export_student(
    checkpoint: str, out_dir: str, student: str = BEST, cfg: Optional[Config] = None
) -> ExportedStudent:
    """Write one student of a cohort as a plain MMPretrain model.

    ``<out_dir>/<student>.pth`` contains its weights, the names of its classes
    and its source; ``<out_dir>/<student>.py`` is its config, which names the
    checkpoint. Neither needs mmdckd or mmrazor, and the predictions are bitwise
    the same as inside the cohort. ``<out_dir>/<student>.safetensors`` contains
    the same weights in a format that cannot run code; it is written if the
    package ``safetensors`` is installed.

    The weights are the checkpoint's ``state_dict``. With an ``EMAHook``, these
    are the averaged weights, which were also validated.

    Before anything is written, the student is built as MMPretrain will build
    it, and every key of the weights has to fit.

    Args:
        checkpoint (str): The path of a checkpoint of a
            :class:`~mmdckd.models.algorithms.CollectiveDistill`. It cannot run
            code: it is read with ``weights_only=True``, and its config is not
            run and may only name parts of OpenMMLab.
        out_dir (str): The folder to write to, created if needed.
        student (str): The name of a student, or ``'best'`` for the best one in
            the last validation before the checkpoint was saved. Defaults to
            ``'best'``.
        cfg (Config, optional): The config of the run. Defaults to None: the
            config in the checkpoint.

    Returns:
        ExportedStudent: The student's name and the paths of the files.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the checkpoint cannot be read or is not of a cohort, the
            student does not exist or none is best, the student needs parts that
            MMPretrain does not have, its weights do not fit its config, the
            config contains more than values, or the student's file would replace
            the checkpoint. Then nothing is written.

    Examples:
        >>> from mmdckd.export import export_student
        >>> best = export_student('work_dirs/run/epoch_60.pth', 'exported')
        >>> from mmpretrain import ImageClassificationInferencer
        >>> inferencer = ImageClassificationInferencer(best.config)
    """
    content = read_checkpoint(checkpoint, 'checkpoint')
    students = students_of(content.get('state_dict', content), checkpoint)
    name = choose(student, list(students), content, checkpoint)
    check_can_be_named(out_dir, 'out_dir')
    _check_kept(checkpoint, osp.join(out_dir, f'{name}.pth'))
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
        if not trusted:  # check the parts from `cfg_path`, too
            check_types(plain.model, 'model')
        build_network(
            plain,
            students[name],
            f'{checkpoint}: {name}',
            'Give the config of the run that wrote the checkpoint.',
        )
    except (ModuleNotFoundError, ValueError):
        raise
    except Exception as error:  # an untrusted config can raise any error
        raise ValueError(
            f'Invalid checkpoint {checkpoint!r}: expected the config of a student '
            f'that can be built, got {type(error).__name__}: {error}'
        ) from error
    if 'test_dataloader' not in plain:
        warn(
            'The config has no test pipeline: the exported student '
            f'{name!r} can be loaded with mmpretrain.get_model, but not with '
            'mmpretrain.ImageClassificationInferencer, which needs '
            '`test_dataloader.dataset.pipeline`.'
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
            'No safetensors file is written, because the package safetensors is '
            'not installed.'
        )
        return exported._replace(safetensors=None)
    with replacing(safetensors) as path:
        _save_safetensors(students[name], out_meta, path)
    return exported


def warn_of_older_files(exported: ExportedStudent) -> None:
    """Warn if another format of a student has the weights of an earlier export.

    Args:
        exported (ExportedStudent): The student, after all of its files are written.
    """
    stem = osp.splitext(exported.checkpoint)[0]
    written = os.stat(exported.checkpoint).st_mtime_ns
    older = [
        path
        for path in (f'{stem}.{end}' for end in ('safetensors', 'onnx', 'int8.onnx'))
        if osp.exists(path) and os.stat(path).st_mtime_ns < written
    ]
    if older:
        warn(f'Of an earlier export, with other weights: {", ".join(older)}.')


def check_can_be_named(folder: str, key: str) -> None:
    """Check that MMEngine can insert the name of a folder into a config, where
    `{{ fileDirname }}` is inside quotes.

    Args:
        folder (str): The folder; it need not exist.
        key (str): The name of the option, for the error message.

    Raises:
        ValueError: If it cannot.
    """
    path = osp.abspath(folder)
    if not path.isprintable() or any(c in path for c in ("'", '\\', '{{')):
        raise ValueError(
            f'Invalid `{key}`: expected a path without quotes, backslashes, double '
            f'braces and control characters, got {path!r}.'
        )


def _check_kept(checkpoint: str, weights: str) -> None:
    """Check that the file of a student does not replace its cohort's."""
    if osp.realpath(weights) == osp.realpath(osp.expanduser(checkpoint)):
        raise ValueError(
            f'Invalid `out_dir`: expected another folder than that of {checkpoint!r}, '
            f'which the student would replace, got {osp.dirname(weights)!r}.'
        )


def _save_safetensors(state_dict: Dict[str, Tensor], meta: dict, path: str) -> None:
    from safetensors.torch import save_file

    # Copied, as safetensors does not accept tensors that share memory.
    weights = {key: value.clone() for key, value in state_dict.items()}
    save_file(
        {key: value.contiguous() for key, value in weights.items()},
        path,
        metadata=dict(format='pt', student=meta['student']),
    )


def _header(plain: Config, cfg: Config, meta: dict) -> List[str]:
    """Write the comment at the top of the config."""
    name = meta['student']
    lines = [
        'A student of a cohort, as a plain MMPretrain model (written by mmdckd '
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
                f'It was tested on {own}. To test it on image files,',
                'set `test_dataloader.dataset.data_root` to a folder with one',
                'subfolder of images for each class; sorted by name, these are '
                'the classes in order.',
            ]
    return lines
