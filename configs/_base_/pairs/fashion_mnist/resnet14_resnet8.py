# ResNet-14 teaches a narrow ResNet-8.
_base_ = [
    '../../datasets/fashion_mnist.py',
    '../../schedules/cosine_bs64_30e.py',
    '../../cohort.py',
]

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet14.py', head=dict(num_classes=10)
    ),
    teacher_ckpt='work_dirs/fashion_mnist/resnet14/epoch_30.pth',
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet8.py',
        backbone=dict(stem_channels=6, base_channels=6),
        head=dict(num_classes=10, in_channels=24),
    ),
)
