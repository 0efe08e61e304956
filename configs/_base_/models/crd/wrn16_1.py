# WRN-16-1 of the benchmark of CRD.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdckd.CIFARWideResNet', depth=16, widen_factor=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)
