# DKD on standardized logits (LSKD, Sun et al., CVPR 2024). The authors multiply
# DKD's weights by 9 and halve its temperature. Both papers raise the weights from
# 0 over the first 20 of 240 epochs: ramp=dict(end=20, kind='linear').
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_dkd=dict(
                type='mmdckd.CohortDKDLoss',
                alpha=9.0,
                beta=72.0,
                tau=2.0,
                standardize=True,
            )
        ),
    ),
)
