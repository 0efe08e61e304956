# Similarity-preserving KD (Tung and Mori, ICCV 2019) by the teacher, and the
# same by the peers: how the images of a batch resemble each other.
_base_ = '../dckd_r34_r18_digits.py'

features = dict(features=dict(type='ModuleOutputs', source='backbone'))

model = dict(
    distiller=dict(
        student_recorders=features,
        teacher_recorders=features,
        collective_losses=dict(
            _delete_=True, loss_relation=dict(type='mmdckd.RelationMapLoss')
        ),
    )
)
