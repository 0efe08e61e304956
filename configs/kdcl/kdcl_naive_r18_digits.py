# KDCL-Naive (Guo et al., CVPR 2020): the student with the least cross-entropy
# teaches all.
_base_ = '../dml/dml_r18_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(
            loss_dckd=dict(
                tau=2.0, collector=dict(_delete_=True, type='naive', include_self=True)
            )
        )
    )
)
