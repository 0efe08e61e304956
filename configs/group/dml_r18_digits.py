# Deep mutual learning (Zhang et al., CVPR 2018).
_base_ = '_base_/online_digits.py'

model = dict(
    distiller=dict(collective_losses=dict(loss_dckd=dict(tau=1.0, collector='mean')))
)
