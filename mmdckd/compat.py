# Copyright (c) mmdckd contributors. All rights reserved.
"""Remedies for faults of the OpenMMLab packages on today's torch.

One function a fault. Each looks whether its fault is present in the packages
at hand and changes something only then. :func:`apply` runs them all and is
called when mmdckd is imported; :data:`APPLIED` tells what was changed and why.
"""

import functools
import inspect
import os.path as osp
import sys
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
    joblib='joblib',
)
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
            f'Install with: pip install {packages}'
        )


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

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
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
            f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
        )
    _libraries.append(library)  # what it declares lives as long as it does
    import_module('torchvision')
    return (
        'the compiled operators of torchvision do not load beside torch '
        f'{torch.__version__}'
    )


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
    if 'mmrazor' in sys.modules or digit_version(version) <= digit_version(
        _MMRAZOR_MAXIMUM_MMCV
    ):
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
    return (
        f'torch {torch.__version__} has not what the quantization of '
        'mmrazor is built from'
    )


class _NoBackendConfigs(dict):
    """Raises where the quantization table of a backend is asked for."""

    def __missing__(self, backend: str) -> None:
        raise RuntimeError(
            f"The quantization backend '{backend}' of mmrazor needs torch "
            '1.13: later versions have removed what it is built from.'
        )


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
    return (
        f'torch {torch.__version__} keeps submodules in a dict, mmrazor '
        'looks for in-place ones in an OrderedDict'
    )


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
    return (
        'mmengine looks for packages with pkg_resources, which setuptools '
        '82 has removed'
    )


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

    from .io.trust import checkpoint_globals

    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    torch.serialization.add_safe_globals(checkpoint_globals())
    return f'torch {torch.__version__} loads weights only, and mmengine saves more'


@_remedy
def unsafe_checkpoints() -> Optional[str]:
    """MMEngine lets the checkpoints that it loads run code.

    From 0.11 on it asks ``torch.load`` for everything, not only weights, and
    what it downloads it has always loaded so: ``load_from``, ``resume`` and
    ``init_cfg=dict(type='Pretrained')`` would run whatever a file says. And
    it runs what a checkpoint has under ``meta.config``, to look for
    ``gpu_ids``, which only MMCV has ever written there.

    See https://github.com/open-mmlab/mmengine/pull/1650.
    """
    import torch
    from mmengine.runner import checkpoint
    from mmengine.runner.checkpoint import CheckpointLoader
    from mmengine.utils import digit_version

    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return None
    import_module('mmengine.runner.runner')
    load = CheckpointLoader.load_checkpoint.__func__

    @functools.wraps(load)
    def load_checkpoint(
        cls, filename: str, map_location: Any = None, logger: Any = 'current'
    ) -> Any:
        from .io.plain import restore_message_hub
        from .io.trust import loading

        with loading(f'The checkpoint {filename!r}', filename):
            content = load(cls, filename, map_location, logger)
            if isinstance(content, dict):
                if isinstance(content.get('meta'), dict):
                    content['meta'].pop('config', None)
                if 'message_hub' in content:
                    content['message_hub'] = restore_message_hub(content['message_hub'])
        return content

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    # They can be called directly, too.
    schemes = CheckpointLoader._schemes
    for name, loader in list(vars(checkpoint).items()):
        if name.startswith('load_from_') and callable(loader):
            safe = _loading_weights(loader)
            _replace(loader, safe)
            for scheme in schemes:
                if schemes[scheme] is loader:
                    schemes[scheme] = safe
    return 'mmengine loads checkpoints so that they can run code'


def _loading_weights(loader: Callable) -> Callable:

    @functools.wraps(loader)
    def load_weights(filename: str, *args, **kwargs) -> Any:
        from .io.trust import loading

        with loading(f'The checkpoint {filename!r}', str(filename)):
            return loader(filename, *args, **kwargs)

    return load_weights


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
                f"'mmpretrain::{path}'."
            )
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
    amp_optimizer_wrapper.GradScaler = functools.partial(torch.amp.GradScaler, 'cpu')
    amp = import_module('mmengine.runner.amp')
    cast = amp.autocast

    @functools.wraps(cast)
    def autocast(
        device_type: Optional[str] = None,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: Optional[bool] = None,
    ) -> Any:
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
    deit_head.DeiTClsHead.__bases__ = (DeiTClsHead,)
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
        ((key, drop),) = self._state_dict_hooks.items()

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
            module.weight is not None and not isinstance(module.weight, Parameter)
        ):
            return module
        converted = convert(module, *args, **kwargs)
        for hooks in ('_forward_hooks', '_forward_pre_hooks'):
            setattr(converted, hooks, getattr(module, hooks))
        return converted

    return convert_all


@_remedy
def contrastive_negatives() -> Optional[str]:
    """``CRDLoss`` of mmrazor 1.0.0 does not run on a GPU.

    It draws its negatives on the CPU, and looks them up in a memory that has
    moved to the GPU; so with the indices of the batch, which MMPretrain's data
    preprocessor leaves where they are. No issue is known upstream.
    """
    after_import('mmrazor.models', _look_up_on_one_device)
    return 'mmrazor looks up CRD samples on the CPU in a memory on the GPU'


def _look_up_on_one_device() -> None:
    from mmrazor.models.losses.crd_loss import ContrastMemory

    look_up = ContrastMemory.forward

    @functools.wraps(look_up)
    def forward(
        self, feat_s: Any, feat_t: Any, idx: Any, sample_idx: Any = None
    ) -> Any:
        if sample_idx is None:
            number = len(feat_s) * (self.neg_sample + 1)
            sample_idx = self.multinomial.draw(number).view(len(feat_s), -1)
            sample_idx.select(1, 0).copy_(idx)
        device = self.memory_v1.device
        return look_up(self, feat_s, feat_t, idx.to(device), sample_idx.to(device))

    ContrastMemory.forward = forward
