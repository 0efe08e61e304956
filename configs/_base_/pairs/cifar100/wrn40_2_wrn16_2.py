# WRN-40-2 teaches WRN-16-2.
_base_ = [
    '../../datasets/cifar100_bs64.py',
    '../../schedules/crd_bs64_240e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(cfg_path='configs/_base_/models/crd/wrn40_2.py'),
    teacher_ckpt='work_dirs/cifar100/wrn40_2/epoch_240.pth',
    architecture=dict(cfg_path='configs/_base_/models/crd/wrn16_2.py'),
)
