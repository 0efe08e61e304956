# A network of the benchmark of CRD, trained alone on CIFAR-100, as the
# teachers of the pairs are:
#   NETWORK=resnet56 python tools/train.py configs/cifar100/network.py
# NETWORK is a file of configs/_base_/models/crd/. MobileNetV2, ShuffleNetV1
# and ShuffleNetV2 take --cfg-options optim_wrapper.optimizer.lr=0.01.
_base_ = [
    '../_base_/models/crd/{{$NETWORK:resnet56}}.py',
    '_base_/recipe.py',
    '../_base_/alone.py',
]

work_dir = 'work_dirs/cifar100/{{$NETWORK:resnet56}}'
