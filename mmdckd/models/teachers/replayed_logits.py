# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmdckd.console.messages import warn

from .cached_logits import check_lookup
from .logit_format import KeptLogits, LogitFormat
from .record_file import RecordFile

Pending = Tuple[RecordFile, Sequence[int], np.ndarray, KeptLogits]


class ReplayedLogits:
    """A frozen network's logits of views that other runs make again.

    One file holds the logits of one pass over the data, in the order of the
    images in it. Logits that a step finds are used; the others are computed
    and stored. Both are restored from the storage format, so a run does not
    depend on what the files held.

    Args:
        folder (str): The folder of the cache.
        key (str): The hash of everything the logits depend on.
        form (LogitFormat): How logits are stored.
        places (int): The number of images of a file.
        max_bytes (int): The largest total size of all files in the folder.
    """

    def __init__(
        self, folder: str, key: str, form: LogitFormat, places: int, max_bytes: int
    ) -> None:
        self.folder = folder
        self.key = key
        self.form = form
        self.places = places
        self.max_bytes = max_bytes
        self._file: Optional[RecordFile] = None
        self._name = ''
        self._places: Sequence[int] = ()
        self._images: Optional[np.ndarray] = None
        self._pending: Optional[Pending] = None
        self._checked = False
        self._warned = False
        self._writes = True

    def __deepcopy__(self, memo: dict) -> 'ReplayedLogits':
        """Share it with copies of the model, such as an EMA."""
        return self

    def begin_step(self, name: str, places: Sequence[int], images: np.ndarray) -> None:
        """Set the images of the next step.

        Args:
            name (str): The name of the pass over the data.
            places (Sequence[int]): The places of the B images in it.
            images (np.ndarray): Their fingerprints, uint64 of shape (B,).
        """
        if name != self._name:
            self._name, self._file = name, self._open(name)
        self._places, self._images = places, images

    def end_step(self) -> None:
        """Store the logits that the step did not find."""
        self._images = None
        if self._pending is None:
            return
        file, places, images, kept = self._pending
        self._pending = None
        records = self.form.pack(kept)
        try:
            file.write(places, images, records)
        except OSError as error:
            self._writes = False
            self._warn(f'{error}')

    def look_up(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]],
        run: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Look up the logits of a batch, or compute them.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample], optional): Ignored.
            run (Callable): Runs the network on images: its logits (B, C).

        Returns:
            Tensor: float32 of shape (B, C).

        Raises:
            ValueError: The first time logits are found, if the network
                computes different ones.
        """
        file, images = self._file, self._images
        if file is None or images is None:
            return self.form.restore(self.form.keep(run(inputs)))
        found = file.read(self._places, images)
        if found is None:
            kept = self.form.keep(run(inputs))
            if self._writes:
                self._pending = file, self._places, images, kept
        else:
            kept = self.form.unpack(found).to(inputs.device)
            if not self._checked:
                self._check(kept, run(inputs))
        return self.form.restore(kept)

    def _check(self, kept: KeptLogits, computed: torch.Tensor) -> None:
        if kept.classes is not None:
            computed = computed.gather(1, kept.classes)
        check_lookup(kept.values, computed, f'Remove {self.folder!r}.')
        self._checked = True

    def _open(self, name: str) -> Optional[RecordFile]:
        try:
            file = RecordFile.open(
                self.folder,
                osp.join(self.key, name),
                self.form.record,
                self.places,
                self.max_bytes,
            )
        except OSError as error:
            self._warn(f'{error}')
            return None
        if file is None:
            self._warn(f'{self.folder!r} has reached `max_bytes`')
        return file

    def _warn(self, why: str) -> None:
        if not self._warned:
            warn(
                f'TeacherCacheHook: {why}. Training continues; the teacher runs '
                'where its logits are not stored.'
            )
        self._warned = True
