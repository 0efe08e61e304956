# Copyright (c) mmdckd contributors. All rights reserved.
# What repeating the views of the first E epochs costs in accuracy. Train the
# teacher first (configs/teachers/resnet34_digits.py), then
#     python tools/sweep.py studies/repeated_views.py
name = 'repeated_views'
about = """
KD on 300 handwritten digits, in 20 epochs, of which E have views of their own.
"""
seeds = [0, 1, 2]
compare_with = ['E = 20']

methods = {
    f'E = {_epochs}': dict(
        config=[
            'configs/kd/kd_r18_digits.py',
            'configs/_base_/schedules/cosine_bs64_20e.py',
        ],
        cfg_options={
            'train_cfg.val_interval': 20,
            'train_dataloader.dataset.num_images': 300,
            'train_dataloader.dataset.pipeline': [
                dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.5, 1.0)),
                dict(type='Rotate', angle=15.0, prob=0.5),
                dict(type='PackInputs'),
            ],
            'custom_hooks': [dict(type='mmdckd.TeacherCacheHook', epochs=_epochs)],
        },
    )
    for _epochs in (20, 5, 2, 1)
}
