# KDCL-General (Guo et al., CVPR 2020): the mean of all, with the weights of
# the least error on the validation split, teaches all.
_base_ = '_base_/online_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(
            loss_dckd=dict(tau=2.0, collector=dict(type='general', include_self=True))
        )
    )
)

custom_hooks = [dict(type='mmdckd.MeasureErrorsHook')]
