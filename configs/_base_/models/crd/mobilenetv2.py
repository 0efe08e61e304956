# MobileNetV2 (T=6, half as wide) of the benchmark of CRD.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdckd.CIFARMobileNetV2'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)
