# ONE (Lan et al., NeurIPS 2018) with separate networks instead of branches: all
# students learn from a gated ensemble, whose gate is trained on the labels.
_base_ = '../dml/dml_r18_digits.py'

model = dict(
    distiller=dict(
        collective_losses=dict(
            _delete_=True,
            loss_one=dict(
                type='mmdckd.GatedEnsembleLoss',
                num_students={{_base_.model.num_students}},
                num_classes={{_base_.data_preprocessor.num_classes}},
            ),
        )
    )
)
