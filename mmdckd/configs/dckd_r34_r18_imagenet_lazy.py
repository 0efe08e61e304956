# Copyright (c) mmdckd contributors. All rights reserved.
# configs/dckd_r34_r18_imagenet.py in MMEngine's new style. Inherit from it:
#     with read_base():
#         from mmdckd.configs.dckd_r34_r18_imagenet_lazy import *
from mmengine.config import read_base

from mmdckd.models import CollectiveDistill, CollectiveDistiller, DCKDLoss

with read_base():
    from ._base_.datasets.imagenet_bs32 import *  # noqa: F401,F403
    from ._base_.default_runtime import *  # noqa: F401,F403
    from ._base_.schedules.imagenet_bs256 import *  # noqa: F401,F403

model = dict(
    type=CollectiveDistill,
    teacher=dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained=True),
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False
    ),
    num_students=4,
    distiller=dict(
        type=CollectiveDistiller, collective_losses=dict(loss_dckd=dict(type=DCKDLoss))
    ),
)
