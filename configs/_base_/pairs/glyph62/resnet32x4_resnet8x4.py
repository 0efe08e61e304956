# ResNet-32x4 teaches ResNet-8x4.
_base_ = [
    '../../datasets/glyph62.py',
    '../../schedules/crd_bs64_60e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet32x4.py', head=dict(num_classes=62)
    ),
    teacher_ckpt='work_dirs/glyph62/resnet32x4/epoch_60.pth',
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet8x4.py', head=dict(num_classes=62)
    ),
)
