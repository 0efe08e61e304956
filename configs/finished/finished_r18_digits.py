# ResNet-34 teaches a ResNet-18 on handwritten digits; both are narrow. Then a
# second ResNet-18 learns four times as long from labels, from the teacher, and
# from the first, which has finished.
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    num_students=1, distiller=dict(collective_losses=dict(loss_dckd=dict(gamma=0.0)))
)

phases = [
    {'model.distiller.collective_losses.loss_dckd.beta': 0.0},
    {'times': 4, 'model.finished_peers': 'phase0'},
]
