# A network of the benchmark of CRD, trained alone on Fashion-MNIST:
#   IMAGES=5000 NETWORK=resnet14 python tools/train.py \
#       configs/fashion_mnist/network.py
# NETWORK is a file of configs/_base_/models/crd/.
_base_ = [
    '../_base_/models/crd/{{$NETWORK:resnet14}}.py',
    '_base_/recipe.py',
    '../_base_/alone.py',
]

model = dict(head=dict(num_classes=10))

work_dir = 'work_dirs/fashion_mnist/{{$NETWORK:resnet14}}_{{$IMAGES:None}}'
