# One student, taught by what it costs to move its predictions to the
# teacher's, where classes that resemble each other are near (WKD-L, Lv et al.,
# NeurIPS 2024). The weight and the temperature are those for ImageNet; on
# CIFAR-100 its authors take transport_weight=600 and tau=8.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_wkd=dict(type='mmdckd.WKDLoss', transport_weight=30.0, tau=2.0)
        ),
    ),
)
