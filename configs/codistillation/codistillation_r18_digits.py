# Codistillation (Anil et al., ICLR 2018): students learn from copies of their peers
# that are at most 50 steps old, after a first epoch without them.
_base_ = '../dml/dml_r18_digits.py'

model = dict(
    lagged_peers=dict(interval=50),
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(ramp=dict(begin=1, end=2, kind='linear')))
    ),
)
