# KDCL-General (Guo et al., CVPR 2020): the mean of all, with the weights of
# the least error on the validation split, teaches all.
_base_ = 'kdcl_naive_r18_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(collector=dict(type='general')))
    )
)

custom_hooks = [dict(type='mmdckd.MeasureErrorsHook')]
