# 2,000 training images of Glyph62, a part of them with wrong labels, and networks that
# learn from them for 1,920 steps; see docs/reference/evidence.md. The teacher is
# trained on the same labels.
_similar = {'0': 'O', 'O': '0', 'o': 'O', '1': 'l', 'l': 'I', 'I': '1', '5': 'S'}
_similar.update({'2': 'Z', '8': 'B', 'B': '8', '6': 'b', 'b': '6', '9': 'g', 'g': '9'})
for _case in ('Cc', 'Kk', 'Pp', 'Ss', 'Uu', 'Vv', 'Ww', 'Xx', 'Zz'):
    _similar.update(zip(_case, reversed(_case)))
_crop = [dict(type='RandomCrop', crop_size=16, padding=1), dict(type='PackInputs')]
_views = [
    dict(type='mmdckd.EnumeratedCropFlip', padding=1, flip=False),
    dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
]


def _noisy(pipeline, options):
    return {
        'train_dataloader.dataset': dict(
            _delete_=True,
            type='mmdckd.WrongLabels',
            dataset=dict(
                type='mmdckd.Glyph62',
                data_root='data/glyph62',
                split='train',
                size=16,
                subset=2000,
            ),
            pipeline=pipeline,
            **options,
        ),
        'train_cfg.max_epochs': 60,
        'train_cfg.val_interval': 60,
        'default_hooks.checkpoint.interval': 60,
        'param_scheduler.1.T_max': 58,
        'param_scheduler.1.end': 60,
    }


teachers = {}
pairs = {}
for _name, _options in dict(
    wrong_20=dict(share=0.2),
    wrong_40=dict(share=0.4),
    similar=dict(share=0.4, confused=_similar),
).items():
    teachers[_name] = dict(
        config='configs/teachers/resnet14_glyph62_16x16.py',
        cfg_options=_noisy(_crop, _options),
    )
    pairs[_name] = dict(
        config='configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py',
        cfg_options={
            **_noisy(_views, _options),
            'model.architecture.backbone.stem_channels': 8,
            'model.architecture.backbone.base_channels': 8,
            'model.architecture.head.in_channels': 32,
            'model.channels_last': True,
            'custom_hooks': [
                dict(type='mmdckd.TeacherCacheHook', folder='work_dirs/teacher_logits')
            ],
        },
        teacher=_name,
    )
