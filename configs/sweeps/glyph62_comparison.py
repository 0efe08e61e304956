# Compares methods in the setting of glyph62_ablation.py.
name = 'glyph62_comparison'
about = """
Glyph62 at 16x16, 8,000 training images, 8 epochs. ResNet-14 teaches a narrow
ResNet-8. DCKD, in this project's own formulation, is compared with training alone
(plain), with a teacher (KD, DKD, DIST), with peers (DML, KDCL) and with both
(kd_dml). Some rows spend the cost of a cohort of four on KD: one student is
trained four times as long, and four students are trained separately, reported by
their mean and by their ensemble. DIST is combined with KD and with DCKD, to
measure what peers add to a teacher whose relations are matched.
"""
seeds = [0, 1, 2, 3, 4]
compare_with = ['kd', 'dml', 'dkd', 'dist']

# The same as in glyph62_ablation.py, so that shared runs are trained once.
_short = {
    'train_cfg.max_epochs': 8,
    'train_cfg.val_interval': 2,
    'param_scheduler.1.T_max': 6,
    'param_scheduler.1.end': 8,
}
_long = {
    'train_cfg.max_epochs': 32,
    'train_cfg.val_interval': 8,
    'param_scheduler.1.T_max': 30,
    'param_scheduler.1.end': 32,
}
_pair = 'configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py'
_methods = 'configs/_base_/methods/'
_four = {**_short, 'model.num_students': 4}

teachers = dict(resnet14=dict(config='configs/teachers/resnet14_glyph62_16x16.py'))

methods = {
    _name: dict(config=[_pair, f'{_methods}{_name}.py'], cfg_options=_short)
    for _name in ['plain', 'kd', 'dml', 'kdcl', 'kd_dml', 'dkd', 'dist', 'dckd']
}
methods['kd, four times as long'] = dict(
    config=[_pair, f'{_methods}kd.py'], cfg_options=_long
)
methods['four of kd'] = dict(config=[_pair, f'{_methods}kd.py'], cfg_options=_four)
methods['ensemble of four of kd'] = dict(
    config=[_pair, f'{_methods}kd.py'], cfg_options=_four, figure='ensemble'
)
for _name in ['kd', 'dckd']:
    methods[f'dist + {_name}'] = dict(
        config=[_pair, f'{_methods}dist.py', f'{_methods}{_name}.py'],
        cfg_options=_short,
    )
