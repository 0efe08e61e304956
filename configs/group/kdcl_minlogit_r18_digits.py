# KDCL-MinLogit (Guo et al., CVPR 2020): the smallest margins over the
# label teach all.
_base_ = '_base_/online_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(
            loss_dckd=dict(tau=2.0, collector=dict(type='min_logit', include_self=True))
        )
    )
)
