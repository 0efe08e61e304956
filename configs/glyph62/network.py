# A network of the benchmark of CRD, trained alone on Glyph62:
#   NETWORK=resnet56 python tools/train.py configs/glyph62/network.py
# NETWORK is a file of configs/_base_/models/crd/.
_base_ = [
    '../_base_/models/crd/{{$NETWORK:resnet56}}.py',
    '_base_/recipe.py',
    '../_base_/alone.py',
]

model = dict(head=dict(num_classes=62))

work_dir = 'work_dirs/glyph62/{{$NETWORK:resnet56}}'
