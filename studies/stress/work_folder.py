# Copyright (c) mmdckd contributors. All rights reserved.
"""Read the work folder of a training, and compare two of them."""

import json
import os.path as osp
import re
import zipfile
from glob import glob
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch

from mmdckd.io.latest import POINTER, fault_of

#: The entries that differ between equal trainings: times, and the config's text,
#: which contains the folder and the number of workers.
TIMES = ('time', 'data_time', 'memory', 'eta', 'iter_time')
CONFIG_KEYS = ('cfg', 'time', 'experiment_name', 'source')


def damaged(work_dir: str) -> List[str]:
    """List the damaged checkpoints in a folder, and the pointer if no run can
    resume from the file that it names."""
    found = []
    for path in glob(osp.join(work_dir, '*.pth')):
        try:
            with zipfile.ZipFile(path) as file:
                whole = file.testzip() is None
        except zipfile.BadZipFile:
            whole = False
        if not whole:
            found.append(path)
    pointer = osp.join(work_dir, POINTER)
    if osp.exists(pointer):
        fault = fault_of(osp.join(work_dir, Path(pointer).read_text()))
        if fault is not None:
            found.append(f'{pointer} ({fault})')
    return found


def contents(work_dir: str) -> Dict[str, Any]:
    """Return everything that a training has written, without times.

    Args:
        work_dir (str): The folder.

    Returns:
        dict: Relative name to content: of checkpoints, every tensor and every
        number; of exports, text and tensors; of what is logged, the values by
        step. Files of several starts are merged.
    """
    files: Dict[str, Any] = {}
    for path in sorted(Path(work_dir).rglob('*')):
        name = str(path.relative_to(work_dir))
        run, _, inner = name.partition('/')
        if path.is_dir() or path.suffix == '.log':
            continue
        if re.fullmatch(r'\d{8}_\d{6}', run):  # of one start
            if inner == 'vis_data/scalars.json':
                _add_scalars(files.setdefault('scalars', {}), path)
            elif not inner.endswith('.py') and not re.fullmatch(
                r'vis_data/\d{8}_\d{6}\.json', inner
            ):
                files[inner] = _content(path)
        elif name == run and path.suffix == '.py':
            continue  # the config
        else:
            # The name of a published file contains a digest that includes the times.
            name = re.sub(r'-[0-9a-f]{8}\.pth$', '-DIGEST.pth', name)
            files[name] = _content(path)
    return files


def _content(path: Path) -> Any:
    if path.suffix == '.pth':
        return _without_times(torch.load(path, weights_only=True))
    if path.suffix == '.npz':
        with np.load(path) as file:
            return {key: file[key] for key in file}
    if path.suffix == '.safetensors':
        from safetensors.torch import load_file

        return load_file(path)
    if path.suffix in ('.py', '.json') or path.name == POINTER:
        return path.read_text()
    return path.read_bytes()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_times(each)
            for key, each in value.items()
            if key not in CONFIG_KEYS and str(key).split('/')[-1] not in TIMES
        }
    if isinstance(value, (list, tuple)):
        return [_without_times(each) for each in value]
    if hasattr(value, 'data') and not isinstance(
        value, (torch.Tensor, np.ndarray, np.generic)
    ):
        return [np.asarray(each) for each in value.data]  # a HistoryBuffer
    return value


def _add_scalars(records: Dict[str, list], path: Path) -> None:
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # a kill has cut it off
            continue
        record = {k: v for k, v in record.items() if k not in TIMES}
        kind = 'train' if 'lr' in record else 'val'
        same = records.setdefault(f'{kind} {record["step"]}', [])
        if record not in same:
            same.append(record)


def differences(one: Any, other: Any, path: str = '') -> List[str]:
    """List the differences between two contents, bit for bit."""
    if type(one) is not type(other):
        return [f'{path}: {type(one).__name__} and {type(other).__name__}']
    if isinstance(one, dict):
        found = [f'{path}/{key}: in one only' for key in one.keys() ^ other.keys()]
        for key in one.keys() & other.keys():
            found += differences(one[key], other[key], f'{path}/{key}')
        return found
    if isinstance(one, list):
        if len(one) != len(other):
            return [f'{path}: {len(one)} and {len(other)} entries']
        found = []
        for index, pair in enumerate(zip(one, other)):
            found += differences(*pair, f'{path}[{index}]')
        return found
    if isinstance(one, torch.Tensor):
        same = (
            one.dtype == other.dtype
            and one.shape == other.shape
            and torch.equal(one, other)
        )
    elif isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and np.array_equal(
            one, other, equal_nan=one.dtype.kind == 'f'
        )
    else:
        same = one == other or one != one and other != other
    if same:
        return []
    shown = (
        ''
        if isinstance(one, (torch.Tensor, np.ndarray, bytes))
        else (f': {one!r:.80} and {other!r:.80}')
    )
    return [f'{path}{shown}']
