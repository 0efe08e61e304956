# Similarity-preserving KD (Tung and Mori, ICCV 2019) from the teacher and from the
# peers: students learn the similarities between the images of a batch.
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
