# ResNet-34 teaches four ResNet-18 handwritten digits; both are narrow. Train
# the teacher first: tools/train.py configs/teachers/resnet34_digits.py
_base_ = [
    '_base_/datasets/digits.py',
    '_base_/schedules/digits_bs64.py',
    '_base_/cohort.py',
]

model = dict(
    teacher=dict(cfg_path='mmdckd::teachers/resnet34_digits.py'),
    teacher_ckpt='work_dirs/resnet34_digits/epoch_40.pth',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        backbone=dict(stem_channels=2, base_channels=2),
        head=dict(in_channels=16),
    ),
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    ),
)

default_hooks = dict(logger=dict(interval=10))
