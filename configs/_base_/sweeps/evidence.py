# The data, the networks and one unit of cost of the primary comparison; see
# docs/reference/evidence.md. One unit is one student that learns from the teacher once
# through the pair's schedule.
_glyph62 = {
    'train_dataloader.dataset.subset': 2000,
    'train_cfg.max_epochs': 60,
    'param_scheduler.1.T_max': 58,
    'param_scheduler.1.end': 60,
}
_clothes = {
    'train_dataloader.dataset.num_images': 5000,
    'train_cfg.max_epochs': 24,
    'param_scheduler.1.T_max': 22,
    'param_scheduler.1.end': 24,
}
_digits = {
    'train_dataloader.dataset.indices': 300,
    'train_cfg.max_epochs': 60,
    'param_scheduler.1.T_max': 56,
    'param_scheduler.1.end': 60,
}
# ResNet-8 of 8, 16 and 32 channels.
_student = {
    'model.architecture.backbone.stem_channels': 8,
    'model.architecture.backbone.base_channels': 8,
    'model.architecture.head.in_channels': 32,
}
# A checkpoint measures the statistics of averaged weights, so few are saved.
_validated = {'train_cfg.val_interval': 60, 'default_hooks.checkpoint.interval': 30}


def _views(padding, flip):
    # The views that RandomCrop, and RandomFlip, draw from, with their numbers:
    # what frozen networks say of them is looked up.
    return {
        'train_dataloader.dataset.pipeline': [
            dict(type='mmdckd.EnumeratedCropFlip', padding=padding, flip=flip),
            dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
        ],
        'custom_hooks': [
            dict(type='mmdckd.TeacherCacheHook', folder='work_dirs/teacher_logits')
        ],
    }


teachers = dict(
    glyph62=dict(
        config='configs/teachers/resnet14_glyph62_16x16.py',
        cfg_options={**_glyph62, **_validated},
    ),
    fashion_mnist=dict(
        config='configs/teachers/resnet14_fashion_mnist.py',
        cfg_options={**_clothes, **_validated},
    ),
    digits=dict(
        config='configs/teachers/resnet34_digits.py',
        cfg_options={**_digits, **_validated},
    ),
)

pairs = dict(
    glyph62_2000=dict(
        config='configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py',
        cfg_options={**_glyph62, **_validated, **_student, **_views(1, False)},
        teacher='glyph62',
    ),
    fashion_mnist_5000=dict(
        config='configs/_base_/pairs/fashion_mnist/resnet14_resnet8.py',
        cfg_options={**_clothes, **_validated, **_student, **_views(2, True)},
        teacher='fashion_mnist',
    ),
    digits_300=dict(
        config='configs/_base_/pairs/digits/resnet34_resnet18.py',
        cfg_options={**_digits, **_validated, **_views(1, False)},
        teacher='digits',
    ),
)
