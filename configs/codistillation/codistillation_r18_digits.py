# Codistillation (Anil et al., ICLR 2018): students learn from what their peers
# were up to 50 steps ago, after a start without.
_base_ = '../dml/dml_r18_digits.py'

model = dict(
    lagged_peers=dict(interval=50),
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(ramp=dict(begin=1, end=2, kind='linear')))
    ),
)
