# One student learns the correlations between classes and between images from
# the teacher (DIST, Huang et al., NeurIPS 2022; MMRazor's loss).
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        student_recorders=dict(logits=dict(type='ModuleOutputs', source='head')),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head')),
        distill_losses=dict(
            loss_dist=dict(
                type='DISTLoss', inter_loss_weight=2.0, intra_loss_weight=2.0, tau=4.0
            )
        ),
        loss_forward_mappings=dict(
            loss_dist=dict(
                logits_S=dict(from_student=True, recorder='logits'),
                logits_T=dict(from_student=False, recorder='logits'),
            )
        ),
    ),
)
