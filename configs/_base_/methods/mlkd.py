# One student learns the teacher's predictions, and the similarities of images
# and of classes in them, at five temperatures (MLKD, Jin et al., CVPR 2023), from
# one view of each image.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_mlkd=dict(type='mmdckd.MLKDLoss')),
    ),
)
