# ResNet-14, trained alone on Glyph62 at 16x16: a teacher.
_base_ = [
    '../_base_/models/crd/resnet14.py',
    '../_base_/datasets/glyph62_16x16.py',
    '../_base_/schedules/cosine_bs64_20e.py',
    '../_base_/alone.py',
]

model = dict(head=dict(num_classes=62))

work_dir = 'work_dirs/glyph62_16x16/resnet14'
