# The peers' knowledge by DCKD, the teacher's by decoupled KD (DKD, CVPR 2022,
# as MMRazor sets it: with `reduction='mean'` it sums over the batch).
_base_ = '../dckd_r34_r18_imagenet.py'

model = dict(
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(alpha=0.0)),
        student_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head.fc'),
            labels=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=dict(loss_dkd=dict(type='DKDLoss', beta=0.5, reduction='mean')),
        loss_forward_mappings=dict(
            loss_dkd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
                gt_labels=dict(recorder='labels', from_student=True, data_idx=1),
            )
        ),
    )
)
