# WRN-40-2 teaches WRN-16-2.
_base_ = [
    '../../datasets/glyph62.py',
    '../../schedules/crd_bs64_60e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/wrn40_2.py', head=dict(num_classes=62)
    ),
    teacher_ckpt='work_dirs/glyph62/wrn40_2/epoch_60.pth',
    architecture=dict(
        cfg_path='configs/_base_/models/crd/wrn16_2.py', head=dict(num_classes=62)
    ),
)
