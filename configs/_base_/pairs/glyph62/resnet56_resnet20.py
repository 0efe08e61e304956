# ResNet-56 teaches ResNet-20.
_base_ = [
    '../../datasets/glyph62.py',
    '../../schedules/crd_bs64_60e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet56.py', head=dict(num_classes=62)
    ),
    teacher_ckpt='work_dirs/glyph62/resnet56/epoch_60.pth',
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet20.py', head=dict(num_classes=62)
    ),
)
