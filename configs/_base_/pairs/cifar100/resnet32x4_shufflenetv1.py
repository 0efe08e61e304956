# ResNet-32x4 teaches ShuffleNetV1.
_base_ = [
    '../../datasets/cifar100_bs64.py',
    '../../schedules/crd_bs64_240e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(cfg_path='configs/_base_/models/crd/resnet32x4.py'),
    teacher_ckpt='work_dirs/cifar100/resnet32x4/epoch_240.pth',
    architecture=dict(cfg_path='configs/_base_/models/crd/shufflenetv1.py'),
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
