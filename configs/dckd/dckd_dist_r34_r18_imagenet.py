# The peers' knowledge by DCKD, the teacher's by relations within and between
# classes (DIST, NeurIPS 2022, as MMRazor sets it).
_base_ = '../dckd_r34_r18_imagenet.py'

model = dict(
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(alpha=0.0)),
        student_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=dict(loss_dist=dict(type='DISTLoss', loss_weight=2.0)),
        loss_forward_mappings=dict(
            loss_dist=dict(
                logits_S=dict(recorder='logits', from_student=True),
                logits_T=dict(recorder='logits', from_student=False),
            )
        ),
    )
)
