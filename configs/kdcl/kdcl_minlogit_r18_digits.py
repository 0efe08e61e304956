# KDCL-MinLogit (Guo et al., CVPR 2020): the smallest margins over the label
# teach all.
_base_ = 'kdcl_naive_r18_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(collector=dict(type='min_logit')))
    )
)
