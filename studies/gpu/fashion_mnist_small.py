# Copyright (c) mmdckd contributors. All rights reserved.
# A small fashion_mnist.py for tests on a CPU: one epoch, few images, ResNet-8.
_base_ = 'fashion_mnist.py'

_configs = 'studies/gpu/configs/'
_few = {
    'train_dataloader.dataset.num_images': 128,
    'val_dataloader.dataset.num_images': 60,
    'test_dataloader.dataset.num_images': 60,
}

seeds = [0]
compare_with = ['plain']
methods = dict(
    _delete_=True, **{name: _base_.methods[name] for name in ['plain', 'dckd']}
)
teachers = dict(
    resnet56=dict(
        config=[*_base_.teachers.resnet56.config, f'{_configs}one_epoch.py'],
        cfg_options={**_few, 'model.backbone.depth': 8},
    )
)
pairs = dict(
    resnet56_resnet20=dict(
        config=[
            *_base_.pairs.resnet56_resnet20.config,
            f'{_configs}one_epoch.py',
            f'{_configs}shallow.py',
        ],
        cfg_options=_few,
    )
)
