# MLKD, its predictions of standardised logits (LSKD, Sun et al., CVPR 2024).
_base_ = 'mlkd.py'

model = dict(
    distiller=dict(
        collective_losses=dict(
            loss_mlkd=dict(
                instance_weight=9.,
                batch_weight=9.,
                class_weight=9.,
                temperatures=(2., 3., 5., 2., 6.),
                standardize=True))))
