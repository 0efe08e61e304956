_base_ = 'wrn16_2.py'

model = dict(backbone=dict(depth=40))
