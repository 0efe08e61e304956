# ResNet-32x4 teaches ResNet-8x4.
_base_ = ['../recipe.py', '../../../_base_/cohort.py']

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet32x4.py', head=dict(num_classes=62)
    ),
    teacher_ckpt='work_dirs/glyph62/resnet32x4/epoch_60.pth',
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet8x4.py', head=dict(num_classes=62)
    ),
)
