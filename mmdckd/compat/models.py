# Copyright (c) mmdckd contributors. All rights reserved.
"""Remedies for faults of networks and losses of the toolbox."""

import functools
from collections import OrderedDict
from importlib.util import find_spec
from typing import Any, Callable, Optional

from .remedy import remedy, replace


@remedy
def inplace_modules() -> Optional[str]:
    """``BaseAlgorithm.set_module_inplace_false`` does nothing on torch >= 2.5.

    It descends only into an ``OrderedDict``, but ``Module._modules`` is now a
    plain dict. So an in-place ReLU overwrites the record of a recorder on the
    previous layer.

    See https://github.com/open-mmlab/mmrazor/pull/446, which introduced it.
    """
    import torch
    from mmrazor.models import BaseAlgorithm

    if isinstance(torch.nn.Module()._modules, OrderedDict):
        return None
    BaseAlgorithm.set_module_inplace_false = _set_module_inplace_false
    return (
        f'torch {torch.__version__} stores submodules in a dict, but mmrazor '
        'looks for in-place modules in an OrderedDict'
    )


def _set_module_inplace_false(self, architecture: Any, varstr: str) -> None:
    """Turn off every in-place operation of a network.

    Args:
        architecture (nn.Module): The network.
        varstr (str): Not used.
    """
    for module in architecture.modules():
        if hasattr(module, 'inplace'):
            module.inplace = False


@remedy
def synchronized_batchnorm() -> Optional[str]:
    """MMEngine loses the recorders of a BatchNorm layer that it converts.

    ``sync_bn='torch'``, or the reverse conversion in a single process, replaces
    a layer by a new one without its hooks, so a recorder on it records nothing.
    Also, a layer whose weights are buffers, as in a copy that is never trained,
    cannot be converted; it needs no synchronized statistics and is left as it
    is. No upstream issue is known.
    """
    import torch
    from mmengine.model import utils

    sample = torch.nn.SyncBatchNorm(1)
    sample.register_forward_hook(print)
    if utils.revert_sync_batchnorm(sample)._forward_hooks:
        return None
    for convert in (utils.convert_sync_batchnorm, utils.revert_sync_batchnorm):
        replace(convert, _converting(convert))
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


@remedy
def lora_state_dict() -> Optional[str]:
    """MMPretrain's ``LoRAModel`` drops weights of other networks when saved.

    Its hook keeps only the keys that LoRA has added, among all keys collected so
    far. If a network is not the first part of a model, earlier keys are lost,
    for example the heads of other students. Here the hook only changes its own
    keys. No upstream issue is known.
    """
    import torch

    try:
        from mmpretrain.models.peft import LoRAModel
    except ModuleNotFoundError:  # mmpretrain < 1.1
        return None
    register = LoRAModel._register_state_dict_hooks
    sample, collected = torch.nn.Module(), {'before.weight': 0}
    register(sample)
    for drop_others in sample._state_dict_hooks.values():
        drop_others(sample, collected, 'own.', {})
    if collected:
        return None

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
    return 'mmpretrain drops the weights before a network with LoRA when it saves'


@remedy
def mmcls_parts() -> Optional[str]:
    """mmrazor 1.0.0 needs mmcls for parts of a loss and a head.

    Without mmcls, ``KDSoftCELoss`` and ``DeiTClsHead`` cannot be built.
    MMPretrain has the same soft cross-entropy and the base class of the head,
    which reads the tokens that MMPretrain's transformers return.

    See https://github.com/open-mmlab/mmrazor/issues/602.
    """
    if find_spec('mmcls') is not None:
        return None
    from mmpretrain.models.heads import DeiTClsHead
    from mmpretrain.models.losses.cross_entropy_loss import soft_cross_entropy
    from mmrazor.models.architectures.heads import deit_head
    from mmrazor.models.losses import kd_soft_ce_loss

    kd_soft_ce_loss.soft_cross_entropy = soft_cross_entropy
    deit_head.DeiTClsHead.__bases__ = (DeiTClsHead,)
    del deit_head.DeiTClsHead.pre_logits
    return 'mmcls is not installed, but mmrazor uses parts of it'


@remedy
def contrastive_negatives() -> Optional[str]:
    """``CRDLoss`` of mmrazor 1.0.0 does not run on a GPU.

    It draws negatives on the CPU and looks them up in a memory on the GPU. The
    same applies to the indices of the batch, which MMPretrain's data
    preprocessor does not move. No upstream issue is known.
    """
    import mmrazor
    from mmengine.utils import digit_version
    from mmrazor.models.losses.crd_loss import ContrastMemory

    if digit_version(mmrazor.__version__) > digit_version('1.0.0'):
        return None
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
    return 'mmrazor looks up CRD samples on the CPU in a memory on the GPU'
