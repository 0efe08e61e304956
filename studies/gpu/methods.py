# Copyright (c) mmdckd contributors. All rights reserved.
# The methods to compare on a GPU, with the same budget for each student.
#
# `four times as long` spends on one student what four students of a cohort
# take.
_methods = 'configs/_base_/methods/'
_long = {
    'train_cfg.max_epochs': 64,
    'train_cfg.val_interval': 16,
    'param_scheduler.1.T_max': 63,
    'param_scheduler.1.end': 64,
}

# Each further run of the study continues with the next seed.
seeds = list(range(10))
compare_with = ['plain', 'kd', 'dist', 'dml']
methods = {
    _name: dict(config=f'{_methods}{_name}.py')
    for _name in ['plain', 'kd', 'dist', 'dkd', 'dml', 'dckd']
}
for _name in ['kd', 'dist']:
    methods[f'{_name}, four times as long'] = dict(
        config=f'{_methods}{_name}.py', cfg_options=_long
    )
