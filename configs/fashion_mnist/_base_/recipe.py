# A short recipe for a few cores.
_base_ = '../../_base_/datasets/fashion_mnist.py'

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0005)
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=2, T_max=28, end=30, convert_to_iter_based=True
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)

auto_scale_lr = dict(base_batch_size=64)
