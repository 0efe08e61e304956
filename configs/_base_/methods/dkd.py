# One student learns from the teacher, with separate weights for the label's
# class and the other classes (DKD, Zhao et al., CVPR 2022; MMRazor's loss). The
# authors set beta from 2 to 8, depending on the pair of networks.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        student_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head'),
            gt_labels=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head')),
        distill_losses=dict(
            loss_dkd=dict(type='DKDLoss', tau=4.0, alpha=1.0, beta=8.0)
        ),
        loss_forward_mappings=dict(
            loss_dkd=dict(
                preds_S=dict(from_student=True, recorder='logits'),
                preds_T=dict(from_student=False, recorder='logits'),
                gt_labels=dict(from_student=True, recorder='gt_labels', data_idx=1),
            )
        ),
    ),
)
