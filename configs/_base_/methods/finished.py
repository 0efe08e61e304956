# Two students learn from the teacher. Then another student learns twice as long from
# labels, from the teacher, and from the two, which have finished. The students take
# as many steps as the four of DCKD.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', gamma=0.0)),
    ),
)

phases = [
    {'model.num_students': 2, 'model.distiller.collective_losses.loss_dckd.beta': 0.0},
    {'times': 2, 'model.finished_peers': 'phase0'},
]
