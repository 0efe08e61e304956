# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare ways to run a frozen teacher.

- `as_is`: in eval mode, without gradient, as FrozenTeacher does;
- `folded`: BatchNorm folded into the convolutions;
- `channels_last`: weights and images in that memory format;
- `folded_last`: both;
- `compiled`: with `torch.compile`, with `--compile`, which needs a compiler.

The output has the speed-up and the largest difference of a logit, relative to
the largest logit. The statistics of BatchNorm are those of random images. All
of them alternate in one process; see rounds.py.
"""

import argparse
import copy
import logging
import tempfile
from typing import Callable, Dict

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
from mmcv.cnn import fuse_conv_bn
from rounds import alternate, append_json, milliseconds, ratio
from runs import COHORT, SETTINGS, Run


def ways(
    teacher: torch.nn.Module, images: torch.Tensor, compiled: bool
) -> Dict[str, Callable[[], torch.Tensor]]:
    """Return the compared functions, which return logits, by name."""
    last = images.to(memory_format=torch.channels_last)
    folded = fuse_conv_bn(copy.deepcopy(teacher))

    def run(network, inputs):
        return lambda: network(inputs, mode='tensor')

    def in_last(network):
        return copy.deepcopy(network).to(memory_format=torch.channels_last)

    result = dict(
        as_is=run(teacher, images),
        folded=run(folded, images),
        channels_last=run(in_last(teacher), last),
        folded_last=run(in_last(folded), last),
    )
    if compiled:
        result['compiled'] = run(torch.compile(copy.deepcopy(teacher)), images)
    return result


@torch.no_grad()
def measure(name: str, args: argparse.Namespace, work_dir: str) -> dict:
    setting = SETTINGS[name](args.batch_size)
    torch.manual_seed(0)
    run = Run(setting, setting.collective(2), COHORT, work_dir)
    teacher = run.model.teachers[0].model
    for module in teacher.modules():
        module._forward_hooks.clear()
    images = run.model.data_preprocessor(run.load())['inputs']
    for module in teacher.train().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    for _ in range(3):
        teacher(images, mode='tensor')
    compared = ways(teacher.eval(), images, args.compile)
    logits = {each: way() for each, way in compared.items()}
    seconds = alternate(compared, args.rounds, 2, args.device)
    result = dict(
        setting=name,
        B=setting.batch_size,
        device=args.device,
        rounds=args.rounds,
        as_is_ms=milliseconds(seconds['as_is']),
    )
    largest = logits['as_is'].abs().max()
    for each in list(compared)[1:]:
        difference = (logits[each] - logits['as_is']).abs().max() / largest
        result[f'{each}_speed_up'] = ratio(seconds['as_is'], seconds[each])
        result[f'{each}_differs_by'] = float(f'{float(difference):.2g}')
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--setting', nargs='+', choices=list(SETTINGS), default=list(SETTINGS)
    )
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--rounds', type=int, default=11)
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for name in args.setting:
        with tempfile.TemporaryDirectory() as work_dir:
            result = measure(name, args, work_dir)
        for key, value in result.items():
            print(f'{key:24} {value}', flush=True)
        if args.out:
            append_json(args.out, result)


if __name__ == '__main__':
    main()
