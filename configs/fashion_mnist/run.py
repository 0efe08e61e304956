# Fashion-MNIST, a method at a time:
#   IMAGES=5000 METHOD=kd python tools/train.py configs/fashion_mnist/run.py
# METHOD is one of configs/_base_/methods/. The teacher is trained first, on as
# many images (network.py).
_base_ = '_base_/pairs/{{$PAIR:resnet14_resnet8}}.py'

import mmengine  # noqa: E402 isort: skip

model = mmengine.Config.fromfile(
    '{{ fileDirname }}/../_base_/methods/{{$METHOD:dckd}}.py'
).model

work_dir = (
    'work_dirs/fashion_mnist/{{$PAIR:resnet14_resnet8}}_'
    '{{$METHOD:dckd}}_{{$IMAGES:None}}'
)
