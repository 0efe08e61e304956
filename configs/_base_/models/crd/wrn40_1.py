_base_ = 'wrn16_1.py'

model = dict(backbone=dict(depth=40))
