# Codistillation with peers that are moving averages of the students.
_base_ = 'codistillation_r18_digits.py'

model = dict(lagged_peers=dict(momentum=0.05, interval=1))
