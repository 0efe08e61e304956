# DCKD, and the features of the teacher's last two stages (FitNets, ICLR 2015,
# weighted as by MMRazor). They have the students' shapes: no connector.
_base_ = '../dckd_r34_r18_imagenet.py'

stages = dict(
    stage3=dict(type='ModuleOutputs', source='backbone.layer3'),
    stage4=dict(type='ModuleOutputs', source='backbone.layer4'),
)

model = dict(
    distiller=dict(
        student_recorders=stages,
        teacher_recorders=stages,
        distill_losses=dict(
            loss_stage3=dict(type='L2Loss', loss_weight=10.0),
            loss_stage4=dict(type='L2Loss', loss_weight=10.0),
        ),
        loss_forward_mappings=dict(
            loss_stage3=dict(
                s_feature=dict(recorder='stage3', from_student=True),
                t_feature=dict(recorder='stage3', from_student=False),
            ),
            loss_stage4=dict(
                s_feature=dict(recorder='stage4', from_student=True),
                t_feature=dict(recorder='stage4', from_student=False),
            ),
        ),
    )
)
