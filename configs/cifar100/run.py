# The benchmark of CRD on CIFAR-100, a pair of networks and a method at a time:
#   PAIR=vgg13_vgg8 METHOD=kd python tools/train.py configs/cifar100/run.py
# PAIR is a file of _base_/pairs/, METHOD one of configs/_base_/methods/. The
# teacher is trained first (network.py), or its checkpoint converted
# (tools/convert_crd_checkpoint.py) and named:
#   ... --cfg-options model.teacher_ckpt=PATH
_base_ = '_base_/pairs/{{$PAIR:resnet56_resnet20}}.py'

import mmengine  # noqa: E402 isort: skip

model = mmengine.Config.fromfile(
    '{{ fileDirname }}/../_base_/methods/{{$METHOD:dckd}}.py'
).model

work_dir = 'work_dirs/cifar100/{{$PAIR:resnet56_resnet20}}_{{$METHOD:dckd}}'
