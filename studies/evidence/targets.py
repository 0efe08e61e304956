# Copyright (c) mmdckd contributors. All rights reserved.
"""What the targets of a student look like on its training images.

    python studies/evidence/targets.py --reference TEACHER RUN [RUN ...]

RUN is the folder of a finished run of a sweep, whose last phase learns from
finished peers. TEACHER is that of a network that generalizes, such as a teacher
with more images. The table has rows for the reference, the teacher and the peers
of each run: top-1, negative log-likelihood (nll, in nats) and expected
calibration error (ece) against the labels of the training images; the entropy in
nats at tau = 1 and at 4; and the correlation with the reference: of the mean target
of each class (tau = 4), over all pairs of different classes. Images are not
shifted. Peers that are blind teach the images to which they are blind; all others
are combined by the mean of their logits.
"""

import argparse
import os.path as osp
import tempfile
from typing import Dict, List, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.runner import Runner, load_checkpoint

from mmdckd.datasets.folds import Folds
from mmdckd.engine.runner.building import build_runner
from mmdckd.engine.runner.phases import last_phase
from mmdckd.evaluation.prediction_sums import PredictionSums
from mmdckd.models.cohorts.peer_folds import PeerFolds
from mmdckd.sweep.markdown import table

TAU = 4.0
COLUMNS = ['target', 'top-1', 'nll', 'ece', 'entropy', 'entropy, tau 4', 'correlation']


def main(args: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('runs', nargs='+')
    parser.add_argument('--reference', required=True)
    options = parser.parse_args(args)
    rows = [COLUMNS]
    for run in options.runs:
        sums = targets_of(run, options.reference)
        short = osp.join(*osp.abspath(run).split(osp.sep)[-2:])
        rows += [
            row_of(f'{short}: {name}', each, sums['reference'])
            for name, each in sums.items()
        ]
    print(table(rows))


@torch.no_grad()
def targets_of(run: str, reference: str) -> Dict[str, PredictionSums]:
    """Accumulate the statistics of each target of a run, and of the reference.

    Returns:
        Dict[str, PredictionSums]: ``reference``, ``teacher`` if there is one, and
        ``peers``, over the training images of the run.
    """
    runner = runner_of(last_phase(Config.fromfile(osp.join(run, 'config.py'))))
    model = runner.model.eval()
    networks = {'reference': network_of(reference)}
    for teacher in model.teachers:
        networks['teacher'] = teacher.model
    plan = model.folds if isinstance(model.folds, PeerFolds) else None
    folds: Sequence[int] = ()
    loader = runner.train_dataloader
    if plan is not None:
        folds = Folds.of(loader.dataset, plan.num_folds, plan.seed).folds.tolist()
    sums: Dict[str, PredictionSums] = {}
    done = 0
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        inputs, samples = data['inputs'], data['data_samples']
        found = {name: each(inputs, mode='tensor') for name, each in networks.items()}
        peers = torch.stack(
            [
                peer.model(inputs, mode='tensor').log_softmax(1)
                for peer in model.finished_peers.networks.values()
            ]
        )
        if plan is not None:
            for sample, fold in zip(samples, folds[done:]):
                sample.set_metainfo(dict(fold=fold))
            ((_, blind),) = plan.blind(samples, peers.device)
            peers = peers.gather(0, blind[:, :, None].expand(-1, -1, peers.shape[2]))
        found['peers'] = peers.mean(0)
        labels = torch.cat([sample.gt_label for sample in samples])
        for name, logits in found.items():
            scores = logits.double().softmax(1)
            if name not in sums:
                sums[name] = PredictionSums(scores.shape[1], TAU, scores.device)
            sums[name].add(scores, labels)
        done += len(samples)
    return sums


def runner_of(cfg: Config) -> Runner:
    """Build a runner whose training images come in order, and not shifted."""
    cfg.work_dir = tempfile.mkdtemp()
    cfg.resume = False
    cfg.visualizer = None
    loader = cfg.train_dataloader
    loader.dataset.pipeline = cfg.test_dataloader.dataset.pipeline
    loader.sampler.shuffle = False
    return build_runner(cfg)


def network_of(run: str) -> torch.nn.Module:
    """Load the network that the run of a teacher has trained."""
    network = runner_of(Config.fromfile(osp.join(run, 'config.py'))).model
    with open(osp.join(run, 'train', 'last_checkpoint'), encoding='utf-8') as file:
        name = osp.basename(file.read().strip())
    load_checkpoint(network, osp.join(run, 'train', name), strict=True)
    return network.eval()


def row_of(name: str, sums: PredictionSums, other: PredictionSums) -> List[str]:
    """Return the row of a target in the table."""
    found = sums.statistics()
    assert sums.confusion is not None
    top1 = 100 * float(sums.confusion.trace() / sums.confusion.sum())
    numbers = [found[key] for key in ('nll', 'ece', 'entropy', 'soft_entropy')]
    numbers.append(similarity(sums, other))
    return [name, f'{top1:.2f}', *(f'{number:.3f}' for number in numbers)]


def similarity(sums: PredictionSums, other: PredictionSums) -> float:
    """Return the correlation of two mean targets, over pairs of classes."""
    pairs = []
    for each in (sums, other):
        matrix = each.correlation
        assert matrix is not None
        pairs.append(matrix[~torch.eye(len(matrix), dtype=torch.bool)])
    return float(torch.corrcoef(torch.stack(pairs))[0, 1])


if __name__ == '__main__':
    main()
