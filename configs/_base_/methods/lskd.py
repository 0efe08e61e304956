# One student learns from the teacher after the logits of both are standardized
# (LSKD, Sun et al., CVPR 2024), with the authors' weight and temperature.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_kd=dict(
                type='mmdckd.DCKDLoss',
                alpha=9.0,
                beta=0.0,
                gamma=0.0,
                tau=2.0,
                standardize=True,
            )
        ),
    ),
)
