# ResNet-34 teaches ResNet-18; both are narrow.
_base_ = [
    '../../datasets/digits.py',
    '../../schedules/digits_bs64.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(cfg_path='mmdckd::teachers/resnet34_digits.py'),
    teacher_ckpt='work_dirs/resnet34_digits/epoch_40.pth',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        backbone=dict(stem_channels=2, base_channels=2),
        head=dict(in_channels=16),
    ),
)
