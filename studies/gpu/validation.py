# Copyright (c) mmdckd contributors. All rights reserved.
"""Time the validation of one and of four students, with loaded batches.

`students`: CollectiveValLoop; `one`: MMEngine's ValLoop with one network. The
teacher runs only in the first validation, which is not timed.
"""

from typing import Dict, List

from building import Run, build_run, setting_224
from measure import Context, alternate, milliseconds, peak_mib, ratio
from mmengine.hub import get_config
from runs import PLAIN

BATCHES = 4


class Preloaded(list):
    """Replaces a dataloader by a list of batches."""

    def __init__(self, batches: List[dict], dataset) -> None:
        super().__init__(batches)
        self.dataset = dataset


def measure(context: Context) -> None:
    """Validate in float32 and in half precision."""
    setting = setting_224(context, 256 if context.cuda else 2)
    network = get_config(setting.student['cfg_path']).model
    for fp16 in (False,) if context.mini or not context.cuda else (False, True):
        runs: Dict[str, Run] = dict(
            one=_validated(context, setting, network, PLAIN, dict(fp16=fp16))
        )
        for number in (1, 4):
            model = dict(setting.collective(number), channels_last=True)
            loop = dict(type='mmdckd.CollectiveValLoop', fp16=fp16)
            runs[f'students_{number}'] = _validated(context, setting, model, None, loop)
        ways = {name: run.runner.val_loop.run for name, run in runs.items()}
        seconds = alternate(context, ways, 5, context.left / 2.5)
        one = seconds['one']
        context.write(
            'validation',
            image=tuple(setting.pipeline[0]['scale'] for _ in range(2)),
            B=setting.batch_size,
            fp16=fp16,
            images=BATCHES * setting.batch_size,
            **{f'{n}_ms': milliseconds(t) for n, t in seconds.items()},
            **{f'{n}_to_one': ratio(t, one) for n, t in seconds.items() if n != 'one'},
            **{f'{n}_peak_mib': peak_mib(context, way) for n, way in ways.items()},
        )


def _validated(context: Context, setting, model: dict, base, loop) -> Run:
    loader = dict(
        batch_size=setting.batch_size,
        num_workers=0,
        pin_memory=context.cuda,
        collate_fn=dict(type='default_collate'),
        dataset=dict(
            type='mmdckd.Digits',
            split='train',
            pipeline=[
                dict(type='Resize', scale=setting.pipeline[0]['scale']),
                dict(type='PackInputs'),
            ],
            indices=setting.batch_size,
        ),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    run = build_run(
        context,
        setting,
        model,
        **({} if base is None else dict(base=base)),
        val_dataloader=loader,
        val_cfg=loop,
        val_evaluator=dict(type='Accuracy', topk=(1,)),
    )
    # Pictures are drawn every few validations, but not in these.
    run.loop._iter = 1
    val_loop = run.runner.val_loop
    batch = next(iter(val_loop.dataloader))
    val_loop.dataloader = Preloaded([batch] * BATCHES, val_loop.dataloader.dataset)
    return run
