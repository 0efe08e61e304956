# ResNet-110 teaches ResNet-20.
_base_ = [
    '../../datasets/cifar100_bs64.py',
    '../../schedules/crd_bs64_240e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(cfg_path='configs/_base_/models/crd/resnet110.py'),
    teacher_ckpt='work_dirs/cifar100/resnet110/epoch_240.pth',
    architecture=dict(cfg_path='configs/_base_/models/crd/resnet20.py'),
)
