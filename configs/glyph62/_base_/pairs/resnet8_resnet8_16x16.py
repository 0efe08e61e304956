# A narrow ResNet-8 teaches others of its kind the small images.
_base_ = 'resnet14_resnet8_16x16.py'

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet8.py',
        backbone=dict(stem_channels=6, base_channels=6),
        head=dict(in_channels=24)),
    teacher_ckpt='work_dirs/glyph62_16x16/resnet8/epoch_20.pth')
