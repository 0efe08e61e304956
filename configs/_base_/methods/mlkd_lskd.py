# MLKD on standardized logits (LSKD, Sun et al., CVPR 2024).
_base_ = 'mlkd.py'

model = dict(
    distiller=dict(
        collective_losses=dict(
            loss_mlkd=dict(
                instance_weight=9.0,
                batch_weight=9.0,
                class_weight=9.0,
                temperatures=(2.0, 3.0, 5.0, 2.0, 6.0),
                standardize=True,
            )
        )
    )
)
