# Copyright (c) mmdckd contributors. All rights reserved.
"""Remedies for faults of the OpenMMLab packages on today's torch.

One function a fault. Each looks whether its fault is present in the packages
at hand and changes something only then. :func:`apply` runs them all and is
called when mmdckd is imported; :data:`APPLIED` tells what was changed and why.
"""
import contextlib
import errno
import functools
import glob
import inspect
import io
import logging
import os
import os.path as osp
import pickle
import re
import shutil
import sys
import zipfile
from collections import OrderedDict, defaultdict
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

REQUIRED = dict(
    torch='torch',
    torchvision='torchvision',
    mmengine='mmengine',
    mmcv='mmcv-lite==2.1.0',
    mmpretrain='mmpretrain',
    mmrazor='mmrazor',
    joblib='joblib')
"""dict[str, str]: The modules mmdckd needs, and what pip calls them."""

APPLIED: Dict[str, str] = {}
"""dict[str, str]: The remedies in effect in this process, and the reasons."""

REMEDIES: List[Callable[[], bool]] = []
"""list[Callable]: The remedies, in the order in which they are applied."""

_MMRAZOR_MAXIMUM_MMCV = '2.1.0'
_libraries: list = []


def require_packages() -> None:
    """Check that the packages mmdckd builds on are there.

    They are no requirements of the distribution: mmcv, mmcv-lite and
    onedl-mmcv all provide ``mmcv``, and naming one would install it over
    another.

    Raises:
        ModuleNotFoundError: A package is missing.
    """
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        packages = ' '.join(REQUIRED[name] for name in missing)
        raise ModuleNotFoundError(
            f'mmdckd needs {", ".join(missing)}, which Python does not find. '
            f'Install with: pip install {packages}')


def apply() -> None:
    """Apply every remedy whose fault is present."""
    for remedy in REMEDIES:
        remedy()


def after_import(name: str, action: Callable[[], None]) -> None:
    """Run an action when a module has been imported.

    Args:
        name (str): The full name of the module.
        action (Callable): What to run; at once where the module is imported
            already.
    """
    if name in sys.modules:
        action()
    else:
        _after_import.actions[name].append(action)
        if _after_import not in sys.meta_path:
            sys.meta_path.insert(0, _after_import)


class _AfterImport(MetaPathFinder):
    """Finds modules as ever, and runs actions when one was executed."""

    def __init__(self) -> None:
        self.actions: Dict[str, List[Callable[[], None]]] = defaultdict(list)

    def find_spec(self,
                  fullname: str,
                  path: Optional[Sequence[str]] = None,
                  target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if fullname not in self.actions:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                for action in self.actions[fullname]:
                    action()

            spec.loader.exec_module = execute_and_act
        return spec


_after_import = _AfterImport()


def _remedy(function: Callable[[], Optional[str]]) -> Callable[[], bool]:
    """Make a remedy of a function that returns its reason, or None.

    The remedy is applied once, is recorded, and returns whether it changed
    something.
    """

    @functools.wraps(function)
    def remedy() -> bool:
        if function.__name__ in APPLIED:
            return False
        reason = function()
        if reason is None:
            return False
        APPLIED[function.__name__] = reason
        return True

    REMEDIES.append(remedy)
    return remedy


def _replace(old: Callable, new: Callable) -> None:
    """Put a function wherever MMEngine has imported another."""
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] == 'mmengine':
            for key, value in list(vars(module).items()):
                if value is old:
                    setattr(module, key, new)


@_remedy
def torchvision_operators() -> Optional[str]:
    """torchvision cannot be imported without its compiled operators.

    A torchvision built for CUDA beside a torch for CPU cannot load them, and
    its import ends with ``operator torchvision::nms does not exist``. Two
    declarations are all that the import needs; calling the operators still
    fails, and classification calls none.

    See https://github.com/pytorch/vision/issues/9085.
    """
    try:
        import_module('torchvision')
        return None
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise
    import torch
    library = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        library.define(
            f'{name}(Tensor dets, Tensor scores, float iou_threshold) '
            '-> Tensor')
    _libraries.append(library)  # what it declares lives as long as it does
    import_module('torchvision')
    return ('the compiled operators of torchvision do not load beside torch '
            f'{torch.__version__}')


@_remedy
def mmcv_version() -> Optional[str]:
    """mmrazor 1.0.0 asserts that mmcv is not newer than 2.1.0.

    mmcv 2.2.0 and onedl-mmcv 2.3 serve it as well (mmpretrain allows them), so
    2.1.0 is what mmcv says it is for as long as mmrazor is being imported.

    See https://github.com/open-mmlab/mmrazor/issues/659.
    """
    import mmcv
    from mmengine.utils import digit_version
    version = mmcv.__version__
    if ('mmrazor' in sys.modules
            or digit_version(version) <= digit_version(_MMRAZOR_MAXIMUM_MMCV)):
        return None
    mmcv.__version__ = _MMRAZOR_MAXIMUM_MMCV
    try:
        import_module('mmrazor')
    finally:
        mmcv.__version__ = version
    return f'mmrazor asserts mmcv <= 2.1.0, and mmcv is {version}'


@_remedy
def quantization_import() -> Optional[str]:
    """mmrazor 1.0.0 cannot be imported on torch >= 2.

    It builds the quantization tables of its backends when it is imported, from
    names that torch has removed. A stand-in that holds no table lets the rest
    of mmrazor work; asking it for one raises.

    See https://github.com/open-mmlab/mmrazor/issues/615, 632 and 652.
    """
    import torch
    name = 'mmrazor.structures.quantization.backend_config'
    mappings = import_module('torch.ao.quantization.fuser_method_mappings')
    if name in sys.modules or hasattr(mappings, 'reverse_sequential_wrapper2'):
        return None
    module = ModuleType(name)
    module.BackendConfigs = _NoBackendConfigs()
    module.__all__ = ['BackendConfigs']
    sys.modules[name] = module
    return (f'torch {torch.__version__} has not what the quantization of '
            'mmrazor is built from')


class _NoBackendConfigs(dict):
    """Raises where the quantization table of a backend is asked for."""

    def __missing__(self, backend: str) -> None:
        raise RuntimeError(
            f"The quantization backend '{backend}' of mmrazor needs torch "
            '1.13: later versions have removed what it is built from.')


@_remedy
def inplace_modules() -> Optional[str]:
    """``BaseAlgorithm.set_module_inplace_false`` does nothing on torch >= 2.5.

    It descends only into an ``OrderedDict``, and ``Module._modules`` is a
    plain dict now. An in-place ReLU then overwrites what a recorder on the
    layer before it has recorded.

    See https://github.com/open-mmlab/mmrazor/pull/446, which introduced it.
    """
    import torch
    if isinstance(torch.nn.Module()._modules, OrderedDict):
        return None
    after_import('mmrazor.models', _replace_set_module_inplace_false)
    return (f'torch {torch.__version__} keeps submodules in a dict, mmrazor '
            'looks for in-place ones in an OrderedDict')


def _replace_set_module_inplace_false() -> None:
    from mmrazor.models.algorithms import BaseAlgorithm
    BaseAlgorithm.set_module_inplace_false = _set_module_inplace_false


def _set_module_inplace_false(self, architecture: Any, varstr: str) -> None:
    """Turn off every in-place operation of a network.

    Args:
        architecture (nn.Module): The network.
        varstr (str): Where it is found; not used.
    """
    for module in architecture.modules():
        if hasattr(module, 'inplace'):
            module.inplace = False


@_remedy
def installed_packages() -> Optional[str]:
    """mmengine 0.10.7 looks for packages with ``pkg_resources``.

    setuptools 82 has removed it: every ``cfg_path='package::...'`` and
    ``_base_ = 'package::...'`` fails. Where it is there still, it looks for an
    editable installation where its metadata is, not where its files are.

    See https://github.com/open-mmlab/mmengine/pull/1676.
    """
    from mmengine.utils import package_utils
    if 'pkg_resources' not in inspect.getsource(package_utils):
        return None
    _replace(package_utils.is_installed, _is_installed)
    _replace(package_utils.get_installed_path, _get_installed_path)
    return ('mmengine looks for packages with pkg_resources, which setuptools '
            '82 has removed')


def _is_installed(package: str) -> bool:
    """Say whether a distribution or a module of this name is there."""
    try:
        distribution(package)
        return True
    except PackageNotFoundError:
        return find_spec(package) is not None


def _get_installed_path(package: str) -> str:
    """Find the folder of a package.

    Args:
        package (str): The name of the module or of its distribution.

    Raises:
        PackageNotFoundError: Neither is there.
    """
    spec = find_spec(package)
    if spec is None:
        names = distribution(package).read_text('top_level.txt')
        spec = find_spec(names.split()[0])
    return osp.dirname(spec.origin)


@_remedy
def checkpoints_of_mmengine() -> Optional[str]:
    """torch >= 2.6 refuses to load the checkpoints of MMEngine.

    ``torch.load`` loads nothing but weights unless told otherwise, and a
    checkpoint of MMEngine holds the :class:`HistoryBuffer` of its message hub
    and NumPy numbers. mmengine 0.10.7 cannot resume for it, and mmdckd itself
    never loads otherwise. These are allowed here and nothing else is, so that
    loading a file cannot run code.

    See https://github.com/open-mmlab/mmengine/issues/1655.
    """
    import torch
    from mmengine.utils import digit_version
    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    torch.serialization.add_safe_globals(_checkpoint_globals())
    return (f'torch {torch.__version__} loads weights only, and mmengine '
            'saves more')


@_remedy
def unsafe_checkpoints() -> Optional[str]:
    """MMEngine lets the checkpoints that it loads run code.

    From 0.11 on it asks ``torch.load`` for everything, not only weights, and
    what it downloads it has always loaded so: ``load_from``, ``resume`` and
    ``init_cfg=dict(type='Pretrained')`` would run whatever a file says.

    See https://github.com/open-mmlab/mmengine/pull/1650.
    """
    import torch
    from mmengine.runner.checkpoint import CheckpointLoader
    from mmengine.utils import digit_version
    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    load = CheckpointLoader.load_checkpoint.__func__

    @functools.wraps(load)
    def load_checkpoint(cls,
                        filename: str,
                        map_location: Any = None,
                        logger: Any = 'current') -> Any:
        from .io.trust import loading
        with loading(f'The checkpoint {filename!r}', filename):
            return load(cls, filename, map_location, logger)

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    return 'mmengine loads checkpoints so that they can run code'


def _checkpoint_globals() -> List[Tuple[Callable, str]]:
    """What a checkpoint of MMEngine refers to, with the names it uses."""
    import numpy as np
    from mmengine.logging import HistoryBuffer
    allowed = [(HistoryBuffer,
                'mmengine.logging.history_buffer.HistoryBuffer'),
               (_history_statistic, 'builtins.getattr'),
               (np.ndarray, 'numpy.ndarray'), (np.dtype, 'numpy.dtype')]
    # How NumPy 1 and 2 call the functions that rebuild arrays and numbers.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(np.ones(1).__reduce__()[0], f'{module}._reconstruct'),
                    (np.float64(1).__reduce__()[0], f'{module}.scalar')]
    for code in '?' + np.typecodes['AllInteger'] + np.typecodes['Float']:
        dtype = type(np.dtype(code))
        allowed.append((dtype, f'numpy.dtypes.{dtype.__name__}'))
    return allowed


def _history_statistic(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, by which the methods of a class are pickled.

    Args:
        owner (type): The class, :class:`HistoryBuffer`.
        name (str): The name of one of its statistics, like ``'mean'``.

    Raises:
        pickle.UnpicklingError: The file asks for anything else.
    """
    from mmengine.logging import HistoryBuffer
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(
            f"'{name}' of {owner} is not a statistic of HistoryBuffer")
    return getattr(HistoryBuffer, name)


@_remedy
def whole_files() -> Optional[str]:
    """MMEngine writes checkpoints in place.

    A run that is killed while it writes, or whose disk is full, leaves half a
    file where a whole one was. Here a file is written beside its place,
    flushed to the disk and renamed, ``last_checkpoint`` too; an error for want
    of room names the file, its size and the room there is. No issue is known
    upstream.
    """
    from mmengine.fileio.backends import LocalBackend
    from mmengine.hooks import checkpoint_hook
    if "open(filepath, 'wb')" not in inspect.getsource(LocalBackend.put):
        return None
    LocalBackend.put = _put
    LocalBackend.put_text = _put_text
    # The only file that this module opens is `last_checkpoint`.
    checkpoint_hook.open = _open_whole
    return 'mmengine writes checkpoints where others have been'


def _put(self, obj: bytes, filepath: Any) -> None:
    """Write bytes to a file, all of them or none.

    Args:
        obj (bytes): What to write.
        filepath (str or Path): The file.

    Raises:
        OSError: If it cannot be written; what was there is there still.
    """
    # Whoever has linked a file elsewhere wants it written there.
    path = osp.realpath(filepath)
    folder = osp.dirname(path)
    os.makedirs(folder, exist_ok=True)
    beside = f'{path}.{os.getpid()}.tmp'
    try:
        with open(beside, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(beside)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        size, room = len(obj) / 1e6, shutil.disk_usage(folder).free / 1e6
        raise OSError(
            error.errno,
            f'{error.strerror}: {size:.1f} MB were to be written, and the '
            f'disk has room for {room:.1f} MB. Nothing that was saved before '
            'is touched; make room, and resume', str(filepath)) from error
    if hasattr(os, 'O_DIRECTORY'):  # where a folder can be flushed
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_text(self, obj: str, filepath: Any, encoding: str = 'utf-8') -> None:
    """Write text to a file, all of it or none.

    Args:
        obj (str): What to write.
        filepath (str or Path): The file.
        encoding (str): Its encoding. Defaults to 'utf-8'.
    """
    _put(self, obj.encode(encoding), filepath)


class _open_whole(io.StringIO):
    """Opens a text file that is written when it is closed."""

    def __init__(self, path: str, mode: str) -> None:
        super().__init__()
        self.path = path

    def __exit__(self, kind: Optional[type], *args) -> None:
        if kind is None:
            _put_text(None, self.getvalue(), self.path)
        super().__exit__(kind, *args)


@_remedy
def checkpoints_kept() -> Optional[str]:
    """``CheckpointHook`` removes the old checkpoint before it saves the new.

    With ``max_keep_ckpts=1`` a run that is killed in between, or whose disk is
    full, has none; the best checkpoint is lost likewise. Here the old ones go
    when the new ones are there. No issue is known upstream.
    """
    from mmengine.hooks import CheckpointHook
    names = ('_save_checkpoint_with_step', '_save_best_checkpoint')
    if not all(hasattr(CheckpointHook, name) for name in names):
        return None
    for name in names:
        method = getattr(CheckpointHook, name)
        setattr(CheckpointHook, name, _removing_last(method))
    return 'mmengine removes old checkpoints before it has new ones'


def _removing_last(method: Callable) -> Callable:

    @functools.wraps(method)
    def save(self, *args, **kwargs) -> None:
        backend = getattr(self, 'file_backend', None)
        # Not there outside of training; inside the other method, wrapped.
        if backend is None or isinstance(backend, _LateRemoval):
            method(self, *args, **kwargs)
            return
        self.file_backend = late = _LateRemoval(backend)
        try:
            method(self, *args, **kwargs)
        finally:
            self.file_backend = backend
        kept = [self.last_ckpt, getattr(self, 'best_ckpt_path', None)]
        kept += getattr(self, 'best_ckpt_path_dict', {}).values()
        for remove, path in late.removals:
            if path not in kept:
                remove(path)

    return save


class _LateRemoval:
    """A file backend that only notes what to remove."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.removals: List[Tuple[Callable, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.removals.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.removals.append((self._backend.rmtree, path))


@_remedy
def latest_checkpoint() -> Optional[str]:
    """MMEngine resumes from what ``last_checkpoint`` says, or not at all.

    Where that file is missing or empty, or names a checkpoint that is not
    there or damaged, a run begins anew or ends with an error, whatever other
    checkpoints there are. Here the newest that can be read is taken, and said.
    No issue is known upstream.
    """
    from mmengine.runner import checkpoint
    if 'glob' in inspect.getsource(checkpoint.find_latest_checkpoint):
        return None
    import_module('mmengine.runner.runner')
    _replace(checkpoint.find_latest_checkpoint, _find_latest_checkpoint)
    return 'mmengine resumes from one checkpoint or none'


def _find_latest_checkpoint(path: str) -> Optional[str]:
    """Find the checkpoint to resume from.

    It is the one that ``last_checkpoint`` names, also after the folder was
    moved. If that cannot be read, it is the newest in the folder that can be
    resumed from. What an interrupted writing has left is removed.

    Args:
        path (str): The work folder.

    Returns:
        str or None: The checkpoint; None where there is none.
    """
    from mmengine.dist import master_only
    from mmengine.logging import print_log
    master_only(_remove_leftovers)(path)
    named = ''
    pointer = osp.join(path, 'last_checkpoint')
    if osp.isfile(pointer):
        with open(pointer, errors='replace') as file:
            named = file.read().strip()
    if '://' in named or osp.isdir(named):  # not a file that can be checked
        return named
    beside = osp.join(path, osp.basename(named or 'unnamed'))
    candidates = [named if osp.isfile(named) else beside] if named else []
    others = sorted(
        glob.glob(osp.join(glob.escape(path), '*.pth')),
        key=osp.getmtime,
        reverse=True)
    # A state that led to a loss that is not finite is resumed from by name.
    candidates += [
        each for each in others if each not in candidates
        and not osp.basename(each).startswith('stopped_at_')
    ]
    warnings = [] if named else [f'{pointer} is missing or empty']
    found = None
    for candidate in candidates:
        fault = _fault_of(candidate, whole=candidate in (named, beside))
        if fault is None:
            found = candidate
            break
        warnings.append(f'{candidate} {fault}')
    if warnings and candidates:
        print_log(
            'Looking for a checkpoint to resume from: ' + '; '.join(warnings) +
            (f'. Resuming from {found}.' if found else
             '. There is none: training starts from the beginning.'),
            logger='current',
            level=logging.WARNING)
    elif found is None:
        print_log(f'There is no checkpoint in {path} to resume from: training '
                  'starts from the beginning.')
    return found


def _remove_leftovers(path: str) -> None:
    for leftover in glob.glob(osp.join(glob.escape(path), '*.tmp')):
        if re.search(r'\.\d+\.tmp$', leftover):
            os.remove(leftover)


def _fault_of(path: str, whole: bool) -> Optional[str]:
    """Say what is wrong with a checkpoint, None if it can be resumed from.

    Args:
        path (str): The file.
        whole (bool): Whether it is enough that the file is whole.
    """
    import torch
    if not osp.isfile(path):
        return 'is not there'
    zipped = zipfile.is_zipfile(path)
    if zipped:
        try:
            with zipfile.ZipFile(path) as file:
                if file.testzip() is not None:
                    return 'is damaged'
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            return f'is damaged ({error})'
        if whole:
            return None
    try:
        checkpoint = torch.load(
            path, map_location='cpu', weights_only=True, mmap=zipped)
    except Exception as error:  # whatever bytes lead to is a reason
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return f'cannot be read ({line})'
    needed = {'meta', 'state_dict', 'optimizer'}
    if not isinstance(checkpoint, dict) or needed - checkpoint.keys():
        return 'holds no state of a training'
    return None


@_remedy
def own_configs() -> Optional[str]:
    """MMEngine refuses ``_base_ = 'mmdckd::...'``.

    It reads configs of the packages of OpenMMLab only, and only such as lie in
    a folder below ``configs``. That is how it is meant upstream.
    """
    from mmengine.config import utils
    if 'mmdckd' in utils.MODULE2PACKAGE:
        return None
    utils.MODULE2PACKAGE['mmdckd'] = 'mmdckd'
    find = utils._get_package_and_cfg_path

    @functools.wraps(find)
    def _get_package_and_cfg_path(cfg_path: str) -> Tuple[str, str]:
        package, _, path = cfg_path.partition('::')
        return (package, path) if package == 'mmdckd' else find(cfg_path)

    import_module('mmengine.hub')
    _replace(find, _get_package_and_cfg_path)
    return 'mmengine knows the configs of OpenMMLab only'


@_remedy
def mmcls_configs() -> Optional[str]:
    """``cfg_path='mmcls::...'`` makes MMEngine install mmcls 0.25.

    mmrazor's own configs say so. mmcls 0.25 is of the time before mmcv 2, and
    mmrazor cannot be imported beside it; MMPretrain has taken its place.

    See https://github.com/open-mmlab/mmrazor/issues/602.
    """
    if find_spec('mmcls') is not None:
        return None
    from mmengine.config import utils
    find = utils._get_package_and_cfg_path

    @functools.wraps(find)
    def _get_package_and_cfg_path(cfg_path: str) -> Tuple[str, str]:
        package, _, path = cfg_path.partition('::')
        if package == 'mmcls':
            raise ModuleNotFoundError(
                f"The config '{cfg_path}' is asked for, but mmcls is not "
                'installed, and its place has been taken by mmpretrain: write '
                f"'mmpretrain::{path}'.")
        return find(cfg_path)

    import_module('mmengine.hub')
    _replace(find, _get_package_and_cfg_path)
    return 'mmcls is not installed, and mmengine would install mmcls 0.25'


@_remedy
def distributed_cpu() -> Optional[str]:
    """MMEngine's launchers work on an accelerator only.

    They call ``torch.cuda.set_device``, and give ``device_ids`` to a
    ``DistributedDataParallel`` whose network is on the CPU. Without an
    accelerator the processes talk through gloo in place of nccl. No issue is
    known upstream.
    """
    from mmengine.device import get_device
    if get_device() != 'cpu':
        return None
    import torch
    from mmengine import dist
    from mmengine.model import MMDistributedDataParallel
    start, wrap = dist.init_dist, MMDistributedDataParallel.__init__

    @functools.wraps(start)
    def init_dist(launcher: str, backend: str = 'gloo', **kwargs) -> None:
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda device: None
        try:
            start(launcher, 'gloo' if backend == 'nccl' else backend, **kwargs)
        finally:
            torch.cuda.set_device = set_device

    @functools.wraps(wrap)
    def __init__(self, *args, **kwargs) -> None:
        kwargs.pop('device_ids', None)
        wrap(self, *args, **kwargs)

    _replace(start, init_dist)
    MMDistributedDataParallel.__init__ = __init__
    return 'mmengine launches on accelerators only, and there is none'


@_remedy
def amp_cpu() -> Optional[str]:
    """``AmpOptimWrapper`` refuses to train on the CPU.

    ``torch.autocast`` works there, with bfloat16, which MMEngine chooses, and
    with float16, which it refuses; so does a gradient scaler made for the CPU.

    See https://github.com/open-mmlab/mmpretrain/issues/1556.
    """
    import torch
    from mmengine.device import get_device
    from mmengine.optim.optimizer import amp_optimizer_wrapper
    if get_device() != 'cpu' or not hasattr(torch.amp, 'GradScaler'):
        return None
    amp_optimizer_wrapper.is_cuda_available = lambda: True
    amp_optimizer_wrapper.GradScaler = functools.partial(
        torch.amp.GradScaler, 'cpu')
    amp = import_module('mmengine.runner.amp')
    cast = amp.autocast

    @functools.wraps(cast)
    def autocast(device_type: Optional[str] = None,
                 dtype: Any = None,
                 enabled: bool = True,
                 cache_enabled: Optional[bool] = None) -> Any:
        if dtype == torch.float16 and device_type in (None, 'cpu'):
            return torch.autocast('cpu', dtype, enabled, cache_enabled)
        return cast(device_type, dtype, enabled, cache_enabled)

    _replace(cast, autocast)
    return 'mmengine offers mixed precision on accelerators only'


@_remedy
def mmcls_parts() -> Optional[str]:
    """mmrazor 1.0.0 takes parts of a loss and a head from mmcls alone.

    Without mmcls ``KDSoftCELoss`` and ``DeiTClsHead`` cannot be built.
    MMPretrain has what they need: the same soft cross-entropy, and the parent
    of the head, which reads the tokens that MMPretrain's transformers return.

    See https://github.com/open-mmlab/mmrazor/issues/602.
    """
    if find_spec('mmcls') is not None:
        return None
    after_import('mmrazor.models', _take_parts_from_mmpretrain)
    return 'mmcls is not installed, and mmrazor takes parts from it'


def _take_parts_from_mmpretrain() -> None:
    from mmpretrain.models.heads import DeiTClsHead
    from mmpretrain.models.losses.cross_entropy_loss import soft_cross_entropy
    from mmrazor.models.architectures.heads import deit_head
    from mmrazor.models.losses import kd_soft_ce_loss
    kd_soft_ce_loss.soft_cross_entropy = soft_cross_entropy
    deit_head.DeiTClsHead.__bases__ = (DeiTClsHead, )
    del deit_head.DeiTClsHead.pre_logits


@_remedy
def lora_state_dict() -> Optional[str]:
    """MMPretrain's ``LoRAModel`` drops the weights of others when it is saved.

    Its hook leaves only what LoRA has added, and of all keys collected so far:
    where a network is not the first in a model, those before it are gone, the
    heads of the other students for one. Here it keeps to its own. No issue is
    known upstream.
    """
    # find_spec('mmpretrain.models.peft') would import mmpretrain.models.
    models = osp.join(osp.dirname(find_spec('mmpretrain').origin), 'models')
    if not osp.isdir(osp.join(models, 'peft')):
        return None
    after_import('mmpretrain.models.peft.lora', _keep_to_own_keys)
    return 'mmpretrain saves a network with LoRA without what lies before it'


def _keep_to_own_keys() -> None:
    from mmpretrain.models.peft.lora import LoRAModel
    register = LoRAModel._register_state_dict_hooks

    @functools.wraps(register)
    def _register_state_dict_hooks(self) -> None:
        register(self)
        (key, drop), = self._state_dict_hooks.items()

        def drop_own(module, state_dict, prefix, local_metadata) -> None:
            own = {k: v for k, v in state_dict.items() if k.startswith(prefix)}
            kept = dict(own)
            drop(module, kept, prefix, local_metadata)
            for name in own.keys() - kept.keys():
                del state_dict[name]

        self._state_dict_hooks[key] = drop_own

    LoRAModel._register_state_dict_hooks = _register_state_dict_hooks


@_remedy
def synchronised_batchnorm() -> Optional[str]:
    """MMEngine loses the recorders of a BatchNorm that it converts.

    ``sync_bn='torch'``, and in one process its reverse, puts a new layer in
    the place of the old one, whose hooks are gone: a recorder on it records
    nothing. And a layer whose weights are buffers, as those of a copy that is
    never trained, cannot be converted; it needs no statistics and is left. No
    issue is known upstream.
    """
    from mmengine.model import utils
    for convert in (utils.convert_sync_batchnorm, utils.revert_sync_batchnorm):
        _replace(convert, _converting(convert))
    return 'mmengine converts BatchNorm layers without their hooks'


def _converting(convert: Callable) -> Callable:

    @functools.wraps(convert)
    def convert_all(module: Any, *args, **kwargs) -> Any:
        from torch.nn import Parameter
        from torch.nn.modules.batchnorm import _BatchNorm
        for name, child in list(module.named_children()):
            module._modules[name] = convert_all(child, *args, **kwargs)
        if not isinstance(module, _BatchNorm) or (
                module.weight is not None
                and not isinstance(module.weight, Parameter)):
            return module
        converted = convert(module, *args, **kwargs)
        for hooks in ('_forward_hooks', '_forward_pre_hooks'):
            setattr(converted, hooks, getattr(module, hooks))
        return converted

    return convert_all
