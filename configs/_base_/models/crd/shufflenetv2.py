# ShuffleNetV2 of the benchmark of CRD.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdckd.CIFARShuffleNetV2'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)
