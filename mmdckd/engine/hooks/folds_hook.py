# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Any, Dict, Iterator, Optional

from mmengine.dataset import DefaultSampler
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from mmdckd.datasets.fold_sampler import FoldSampler
from mmdckd.datasets.folded_pipeline import FoldedPipeline
from mmdckd.datasets.folds import NO_FOLD, Folds, image_roots, image_source
from mmdckd.engine.inner_datasets import inner_datasets
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.cohorts.fold_plan import FoldPlan
from mmdckd.models.cohorts.peer_folds import PeerFolds
from mmdckd.models.options import under
from mmdckd.registry import HOOKS

#: The name of the file in the work folder.
FILE = 'folds.npz'


@HOOKS.register_module()
class FoldsHook(Hook):
    """Divides the training images into the folds of ``model.folds``.

    Every sample gets its ``fold``, so that a student does not learn from the
    images of its own fold, and a batch has equally many images of each fold
    (:class:`~mmdckd.datasets.fold_sampler.FoldSampler`). The folds are saved to
    ``folds.npz`` in the work folder; checkpoints record their hash, and a run
    resumes with the same folds.

    With ``model.finished_peers`` the folds are those of the peers' cohort, and
    only the samples know them.

    It does nothing if the model has no folds. It needs MMEngine's
    ``DefaultSampler``. To train on images without labels too, use
    ``mmdckd.WithUnlabeled`` with its batch sampler; such images are in no fold.

    Raises:
        ValueError: Before the first step, if the images cannot be divided; a
            batch would not have equally many images of each fold, or a student
            fewer than two; an image of a fold is also a validation image; or
            the run resumes with other images or folds.

    Examples:
        >>> default_hooks = dict(folds=dict(type='mmdckd.FoldsHook'))
    """

    def __init__(self) -> None:
        self._digest: Optional[str] = None
        self._fold_of: Dict[str, int] = {}
        self._resumed: Any = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read the hash of the folds from a checkpoint that is resumed."""
        self._resumed = None
        if runner._resume:
            self._resumed = checkpoint.get('meta', {}).get('folds', 'no folds')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Record the hash of the folds."""
        if self._digest is not None:
            checkpoint['meta'].update(folds=self._digest, fold_of=self._fold_of)

    def before_train(self, runner) -> None:
        """Divide the images, and tell samples and batches their folds."""
        model = unwrapped(runner.model)
        plan = getattr(model, 'folds', None)
        if not isinstance(plan, (FoldPlan, PeerFolds)):
            return
        loader = runner.train_loop.dataloader
        with under('model.folds'):
            folds = Folds.of(loader.dataset, plan.num_folds, plan.seed)
        self._digest = folds.digest
        self._check_resumed(runner, folds)
        if runner.val_loop is not None:
            _check_validation(loader.dataset, runner.val_loop.dataloader.dataset)
        if isinstance(plan, FoldPlan):
            self._fold_of = plan.fold_of
            _order_by_fold(loader, folds)
        else:
            plan.check_digest(folds.digest)
        _tag(loader.dataset, folds)
        if is_main_process():
            folds.save(osp.join(runner.work_dir, FILE))
        barrier()

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_train(runner)

    def _check_resumed(self, runner, folds: Folds) -> None:
        if self._resumed is None:
            return
        before = {'the checkpoint': self._resumed}
        path = osp.join(runner.work_dir, FILE)
        if osp.isfile(path):
            before[path] = Folds.load(path).digest
        for where, digest in before.items():
            if digest != folds.digest:
                raise ValueError(
                    'Invalid `train_dataloader.dataset` or `model.folds`: expected '
                    f'the folds of the resumed run, {digest} in {where}, got '
                    f'{folds.digest}: images, labels or their division differ, and a '
                    'student would see images that it must not.'
                )


def _check_validation(train: Any, val: Any) -> None:
    """Check that no image is used for both training and validation."""
    sources = {image_source(train.get_data_info(i)) for i in range(len(train))}
    shared = [
        i for i in range(len(val)) if image_source(val.get_data_info(i)) in sources
    ]
    if shared:
        info = val.get_data_info(shared[0])
        raise ValueError(
            'Invalid `val_dataloader.dataset`: expected no image that is in a fold of '
            f'the training images, got {len(shared)} of {len(val)}, first '
            f'{info.get("img_path") or f"image {shared[0]}"}.'
        )


def _order_by_fold(loader: DataLoader, folds: Folds) -> None:
    """Make every batch hold equally many images of each fold."""
    batches: Any = loader.batch_sampler
    if hasattr(batches, 'batch_sampler'):  # of `ExactResumeHook`
        batches = batches.batch_sampler
    sampler: Any = getattr(batches, 'sampler', None)
    if isinstance(sampler, FoldSampler):
        return
    if type(sampler) is not DefaultSampler:
        raise ValueError(
            'Invalid `train_dataloader.sampler`: expected a DefaultSampler with '
            f'`model.folds`, got a {type(sampler).__name__}.'
        )
    if (folds.folds == NO_FOLD).any():
        raise ValueError(
            'Invalid `train_dataloader.dataset`: expected a label for every image with '
            f'`model.folds`, got {(folds.folds == NO_FOLD).sum()} without. '
            'To learn from these too, use mmdckd.WithUnlabeled.'
        )
    size = getattr(batches, 'num_labeled', None) or batches.batch_size
    if size % folds.num_folds:
        raise ValueError(
            f'Invalid `train_dataloader.batch_size`: expected a multiple of '
            f'{folds.num_folds}, the number of folds, got {size} images with labels.'
        )
    last = len(sampler) % size
    seen = last - -(-last // folds.num_folds)
    if not batches.drop_last and last and seen < 2:
        raise ValueError(
            'Invalid `train_dataloader.drop_last`: expected True, because the last '
            f'batch has {last} images, of which a student sees {seen}, got False.'
        )
    batches.sampler = FoldSampler(sampler, folds.folds)


def _tag(dataset: Any, folds: Folds) -> None:
    """Make samples know their folds."""
    roots = image_roots(dataset)
    for leaf in _leaves(dataset):
        if not hasattr(leaf, 'pipeline'):
            raise ValueError(
                'Invalid `train_dataloader.dataset`: expected a dataset with a '
                f'pipeline with `model.folds`, got a {type(leaf).__name__}.'
            )
        if not isinstance(leaf.pipeline, FoldedPipeline):
            leaf.pipeline = FoldedPipeline(leaf.pipeline, folds, roots)


def _leaves(dataset: Any) -> Iterator[Any]:
    inner = inner_datasets(dataset)
    if not inner:
        yield dataset
    for each in inner:
        yield from _leaves(each)
