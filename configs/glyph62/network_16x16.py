# The same as network.py on small images, in minutes on one core:
#   NETWORK=resnet14 python tools/train.py configs/glyph62/network_16x16.py
_base_ = [
    '../_base_/models/crd/{{$NETWORK:resnet14}}.py',
    '_base_/recipe_16x16.py',
    '../_base_/alone.py',
]

model = dict(head=dict(num_classes=62))

work_dir = 'work_dirs/glyph62_16x16/{{$NETWORK:resnet14}}'
