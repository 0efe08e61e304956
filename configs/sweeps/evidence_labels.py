# Wrong labels and few labels; see docs/reference/evidence.md.
_base_ = '../_base_/sweeps/wrong_labels.py'

name = 'evidence_labels'
about = """
Glyph62 at 16x16. In `wrong_20` and `wrong_40`, this percentage of the labels of
2,000 training images is wrong, and each other class is equally likely;
`wrong_20_of_8000` has 8,000 images. In `similar`, 40 % of the labels are wrong in the
32 classes that look like another one, which is a fifth of all. In `few_20` and
`few_5`, this percentage of 8,000 images has labels; three quarters of a batch have
none. `few_20_alone` and `few_5_alone` have the images with labels alone. The teacher
is trained on the same labels. Every line costs five units of 1,920 steps, except
`one unit`: a student that trains for less long memorizes fewer wrong labels. `held
out` trains four peers, each blind to a quarter of the images, then the student;
`together` trains them and a fifth student, the graduate, in one phase, and shows the
graduate.
"""
seeds = [0, 1, 2, 3, 4]
compare_with = ['kd']

_few = dict(few_20=1600, few_5=400)
_crop = [dict(type='RandomCrop', crop_size=16, padding=1), dict(type='PackInputs')]
_views = [
    dict(type='mmdckd.EnumeratedCropFlip', padding=1, flip=False),
    dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
]
_cache = dict(type='mmdckd.TeacherCacheHook', folder='work_dirs/teacher_logits')
_student = {
    'model.architecture.backbone.stem_channels': 8,
    'model.architecture.backbone.base_channels': 8,
    'model.architecture.head.in_channels': 32,
    'model.channels_last': True,
}


def _unit(steps_an_epoch):
    """Return the schedule of one unit, 1,920 steps."""
    epochs = -(-1920 // steps_an_epoch)
    return {
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': epochs,
        'default_hooks.checkpoint.interval': epochs,
        'param_scheduler.1.T_max': epochs - 2,
        'param_scheduler.1.end': epochs,
    }


def _glyphs(subset, **options):
    return dict(
        type='mmdckd.Glyph62',
        data_root='data/glyph62',
        split='train',
        size=16,
        subset=subset,
        **options,
    )


def _partly(number):
    dataset = dict(
        _delete_=True,
        type='mmdckd.WithUnlabeled',
        dataset=_glyphs(number, pipeline=_crop),
        unlabeled=_glyphs(8000, pipeline=_crop),
    )
    return {
        'train_dataloader.dataset': dataset,
        'train_dataloader.batch_sampler': dict(
            type='mmdckd.MixedBatchSampler', unlabeled_share=0.75
        ),
        **_unit(-(-number // 16)),
    }


def _wrong(pipeline):
    dataset = dict(
        _delete_=True,
        type='mmdckd.WrongLabels',
        dataset=_glyphs(8000),
        pipeline=pipeline,
        share=0.2,
    )
    return {'train_dataloader.dataset': dataset, **_unit(125)}


teachers = dict(
    wrong_20_of_8000=dict(
        config='configs/teachers/resnet14_glyph62_16x16.py', cfg_options=_wrong(_crop)
    )
)
pairs = dict(
    wrong_20_of_8000=dict(
        config='configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py',
        cfg_options={**_wrong(_views), **_student, 'custom_hooks': [_cache]},
        teacher='wrong_20_of_8000',
    )
)
for _name, _number in _few.items():
    _alone = {'train_dataloader.dataset.subset': _number, **_unit(-(-_number // 64))}
    teachers[_name] = dict(
        config='configs/teachers/resnet14_glyph62_16x16.py', cfg_options=_alone
    )
    for _end, _options in {
        '': _partly(_number),
        '_alone': {
            **_alone,
            'train_dataloader.dataset.pipeline': _views,
            'custom_hooks': [_cache],
        },
    }.items():
        pairs[_name + _end] = dict(
            config='configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py',
            cfg_options={**_options, **_student},
            teacher=_name,
        )

_losses = 'model.distiller.collective_losses'
_ema = {'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema')}
_dist = {_losses: dict(_delete_=True, loss_kd=dict(type='mmdckd.CohortDISTLoss'))}
_alpha_2 = {f'{_losses}.loss_kd.alpha': 2.0}
_long = {'phases': [dict(times=5)]}
_together = {'phases': [dict(times=1.25)]}


def _method(name, figure='mean', **cfg_options):
    return dict(
        config=f'configs/_base_/methods/{name}.py',
        cfg_options=cfg_options,
        figure=figure,
    )


def _finished(peers, times, **options):
    return {
        f'{_losses}.loss_dckd.gamma': 0.0,
        'model.num_students': 1,
        'phases': [
            {'model.num_students': peers, f'{_losses}.loss_dckd.beta': 0.0},
            {'times': times, 'model.finished_peers': 'phase0', **options},
        ],
    }


def _blind(**options):
    # Four peers that see three quarters of the images cost three units.
    collector = {f'{_losses}.loss_dckd.collector': 'held_out'}
    return {
        **_finished(4, 2, **collector, **options),
        'model.folds': dict(num_folds=4),
        'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
    }


# The figure is that of the graduate.
_graduate = dict(figure='first', **_together, **{'model.folds.graduate': 'student0'})
_agreement = dict(type='agreement', collector='logit_mean')

methods = {
    'plain': _method('plain', **_long, custom_hooks=[]),
    'plain, one unit': _method('plain', custom_hooks=[]),
    'kd': _method('kd', **_long),
    'kd, one unit': _method('kd'),
    'kd, alpha 2, ema': _method('kd', **_long, **_alpha_2, **_ema),
    # Of logits alone, which the teacher cache has.
    'dist': _method('kd', **_long, **_dist),
    'dml': _method('dml', **_together, custom_hooks=[]),
    'dckd': _method('dckd', **_together),
    'dckd, ema': _method('dckd', **_together, **_ema),
    'dckd, agreement': _method(
        'dckd', **_together, **{f'{_losses}.loss_dckd.collector': _agreement}
    ),
    'finished': _method('dckd', **_finished(1, 4)),
    'finished, ema': _method('dckd', **_finished(1, 4, **_ema)),
    'held out': _method('dckd', **_blind()),
    'held out, ema': _method('dckd', **_blind(**_ema)),
    'held out, together': _method('held_out', **_graduate),
    'held out, together, ema': _method('held_out', **_graduate, **_ema),
}
