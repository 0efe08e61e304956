# Which method is best with how many images and at which cost; see
# docs/reference/evidence.md.
name = 'evidence_map'
about = """
Glyph62 at 16x16 and Fashion-MNIST with 500 to 51,522 training images. One unit of cost
is about 1,920 steps of one student; `x4` means four units in all. DCKD trains four
students together. `finished` trains two peers for one unit each, then the student.
`held out` trains four peers, each blind to a fourth of the images, then the student;
`held out, together` trains them and a fifth student, the graduate, in one phase. The
teacher is trained on the same images.
"""
seeds = [0, 1, 2, 3, 4]

_rate = 'optim_wrapper.optimizer.lr'


def _data(images, epochs, warm_up, key, padding, flip):
    """Return the settings of a teacher and of the students that learn from it."""
    schedule = {
        f'train_dataloader.dataset.{key}': images,
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': epochs,
        'default_hooks.checkpoint.interval': epochs,
        'param_scheduler.0.end': warm_up,
        'param_scheduler.1.begin': warm_up,
        'param_scheduler.1.T_max': epochs - warm_up,
        'param_scheduler.1.end': epochs,
    }
    students = {
        'model.architecture.backbone.stem_channels': 8,
        'model.architecture.backbone.base_channels': 8,
        'model.architecture.head.in_channels': 32,
        'model.channels_last': True,
        # The views that RandomCrop, and RandomFlip, draw from, with their numbers:
        # what frozen networks say of them is looked up.
        'train_dataloader.dataset.pipeline': [
            dict(type='mmdckd.EnumeratedCropFlip', padding=padding, flip=flip),
            dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
        ],
        'custom_hooks': [
            dict(type='mmdckd.TeacherCacheHook', folder='work_dirs/teacher_logits')
        ],
    }
    return schedule, {**schedule, **students}


teachers = {}
pairs = {}
for _set, _config, _options, _sizes in [
    (
        'glyph62',
        'glyph62_16x16',
        ('subset', 1, False),
        [(500, 240, 8), (2000, 60, 2), (8000, 15, 1), (51522, 3, 1)],
    ),
    (
        'fashion_mnist',
        'fashion_mnist',
        ('num_images', 2, True),
        [(1000, 120, 4), (10000, 12, 1)],
    ),
]:
    for _images, _epochs, _warm_up in _sizes:
        _alone, _taught = _data(_images, _epochs, _warm_up, *_options)
        _name = f'{_set}_{_images}'
        teachers[_name] = dict(
            config=f'configs/teachers/resnet14_{_config}.py', cfg_options=_alone
        )
        pairs[_name] = dict(
            config=f'configs/_base_/pairs/{_config}/resnet14_resnet8.py',
            cfg_options=_taught,
            teacher=_name,
        )

# Without them, the last batch would have 2 images, of which a blind peer sees 1.
pairs['glyph62_51522']['cfg_options']['train_dataloader.drop_last'] = True

_losses = 'model.distiller.collective_losses'
_ema = {'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema')}
_alpha_2 = {f'{_losses}.loss_kd.alpha': 2.0}
_two_phases = {f'{_losses}.loss_dckd.gamma': 0.0, 'model.num_students': 1}


def _loss(name):
    # Of logits alone, which the teacher cache has.
    return {_losses: dict(_delete_=True, loss_kd=dict(type=name))}


def _finished(peers, times, **options):
    return {
        **_two_phases,
        'phases': [
            {'model.num_students': peers, f'{_losses}.loss_dckd.beta': 0.0},
            {'times': times, 'model.finished_peers': 'phase0', **options},
        ],
    }


methods = {}


def _add(group, units, config, cfg_options, **others):
    methods[f'{group} x{units}'] = dict(
        config=f'configs/_base_/methods/{config}.py',
        cfg_options=cfg_options,
        group=group,
        **others,
    )


for _units in (1, 2, 4, 8, 16):
    _long = {'phases': [dict(times=_units)]}
    _add('plain', _units, 'plain', {**_long, 'custom_hooks': []})
    _add('kd', _units, 'kd', _long)
    _add('kd, alpha 2, ema', _units, 'kd', {**_long, **_alpha_2, **_ema})
    _add('dist', _units, 'kd', {**_long, **_loss('mmdckd.CohortDISTLoss')})
    _add('dkd, ema', _units, 'kd', {**_long, **_ema, **_loss('mmdckd.CohortDKDLoss')})
for _units in (4, 8, 16):
    _add('dckd', _units, 'dckd', {'phases': [dict(times=_units / 4)]})
    _add('dckd, ema', _units, 'dckd', {'phases': [dict(times=_units / 4)], **_ema})
    _add('finished', _units, 'dckd', {**_finished(2, _units - 2), _rate: 0.02})
    # Four peers that see three quarters of the images cost three units.
    _add(
        'held out',
        _units,
        'dckd',
        {
            **_finished(
                4, _units - 3, **{f'{_losses}.loss_dckd.collector': 'held_out'}
            ),
            'model.folds': dict(num_folds=4),
            'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
        },
    )
    # The figure is that of the graduate.
    _add(
        'held out, together',
        _units,
        'held_out',
        {'phases': [dict(times=_units / 4)], 'model.folds.graduate': 'student0'},
        figure='first',
    )
