# ResNet-56, trained alone on Glyph62: a teacher.
_base_ = [
    '../_base_/models/crd/resnet56.py',
    '../_base_/datasets/glyph62.py',
    '../_base_/schedules/crd_bs64_60e.py',
    '../_base_/alone.py',
]

model = dict(head=dict(num_classes=62))

work_dir = 'work_dirs/glyph62/resnet56'
