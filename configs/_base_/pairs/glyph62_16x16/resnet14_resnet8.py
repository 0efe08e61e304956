# ResNet-14 teaches a narrow ResNet-8.
_base_ = [
    '../../datasets/glyph62_16x16.py',
    '../../schedules/cosine_bs64_20e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet14.py', head=dict(num_classes=62)
    ),
    teacher_ckpt='work_dirs/glyph62_16x16/resnet14/epoch_20.pth',
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet8.py',
        backbone=dict(stem_channels=6, base_channels=6),
        head=dict(num_classes=62, in_channels=24),
    ),
)
