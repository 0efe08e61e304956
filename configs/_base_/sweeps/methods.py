# What every sweep over pairs of networks compares.
seeds = [0, 1, 2, 3, 4]
compare_with = ['plain', 'kd', 'dml']

methods = {
    _name: dict(config=f'configs/_base_/methods/{_name}.py')
    for _name in [
        'plain',
        'kd',
        'dkd',
        'dist',
        'lskd',
        'dkd_lskd',
        'mlkd',
        'mlkd_lskd',
        'wkd',
        'dml',
        'kdcl',
        'kd_dml',
        'dckd',
    ]
}
