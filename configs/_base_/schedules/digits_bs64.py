optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0005)
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=4, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=4, T_max=36, end=40, convert_to_iter_based=True
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=40, val_interval=1)

auto_scale_lr = dict(base_batch_size=64)
