# Copyright (c) mmdckd contributors. All rights reserved.
# What repeating the views of the first E epochs costs in accuracy:
#     python tools/sweep.py studies/repeated_views.py --work-dir work_dirs/repeated
name = 'repeated_views'
about = 'KD on handwritten digits, in 20 epochs, of which E have views of their own.'
seeds = [0, 1, 2]
compare_with = ['all views']

_short = 'configs/_base_/schedules/cosine_bs64_20e.py'
_views = [
    dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.5, 1.0)),
    dict(type='Rotate', angle=15.0, prob=0.5),
    dict(type='PackInputs'),
]

teachers = dict(resnet34=dict(config=['configs/teachers/resnet34_digits.py', _short]))
methods = {
    _name: dict(
        config=['configs/kd/kd_r18_digits.py', _short],
        cfg_options={
            'train_dataloader.dataset.pipeline': _views,
            'custom_hooks': [dict(type='mmdckd.TeacherCacheHook', epochs=_epochs)],
        },
    )
    for _name, _epochs in {
        'E = 1': 1,
        'E = 2': 2,
        'E = 5': 5,
        'all views': None,
    }.items()
}
