# DCKD, and contrastive representation distillation (CRD, ICLR 2020). Each
# student keeps two features of every image: 1.3 GB on ImageNet.
_base_ = '../dckd_r34_r18_imagenet.py'

num_images, num_negatives = 1281167, 16384

pipeline = _base_.train_dataloader.dataset.pipeline
pipeline[-1] = dict(
    type='mmdckd.PackCRDInputs', num_images=num_images, num_negatives=num_negatives
)
train_dataloader = dict(dataset=dict(pipeline=pipeline))

pooled = dict(pooled=dict(type='ModuleOutputs', source='neck.gap'))

model = dict(
    distiller=dict(
        student_recorders=dict(samples=dict(type='ModuleInputs', source=''), **pooled),
        teacher_recorders=pooled,
        connectors=dict(
            embed_student=dict(type='CRDConnector', dim_in=512, dim_out=128),
            embed_teacher=dict(type='CRDConnector', dim_in=512, dim_out=128),
        ),
        distill_losses=dict(
            loss_crd=dict(type='CRDLoss', sample_n=num_images, neg_num=num_negatives)
        ),
        loss_forward_mappings=dict(
            loss_crd=dict(
                s_feats=dict(
                    recorder='pooled', from_student=True, connector='embed_student'
                ),
                t_feats=dict(
                    recorder='pooled', from_student=False, connector='embed_teacher'
                ),
                data_samples=dict(recorder='samples', from_student=True, data_idx=1),
            )
        ),
    )
)
