# KDCL-Linear (Guo et al., CVPR 2020): the convex combination of all logits
# with the least cross-entropy teaches all.
_base_ = 'kdcl_naive_r18_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(collector=dict(type='linear')))
    )
)
