# One student minimizes the cost of moving its predictions to the teacher's,
# which is low between similar classes (WKD-L, Lv et al., NeurIPS 2024). The weight
# and the temperature are the authors' for ImageNet; on CIFAR-100 they use
# transport_weight=600 and tau=8.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_wkd=dict(type='mmdckd.WKDLoss', transport_weight=30.0, tau=2.0)
        ),
    ),
)
