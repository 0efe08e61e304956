# ResNet-110, trained alone on CIFAR-100: a teacher.
_base_ = [
    '../_base_/models/crd/resnet110.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/crd_bs64_240e.py',
    '../_base_/alone.py',
]

work_dir = 'work_dirs/cifar100/resnet110'
