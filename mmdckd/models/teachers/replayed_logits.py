# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Callable, List, Optional, Tuple

import numpy as np
import torch
from filelock import Timeout
from mmengine.structures import BaseDataElement

from mmdckd.console.messages import warn

from .logit_format import KeptLogits, LogitFormat
from .record_file import RecordFile

Pending = Tuple[RecordFile, slice, np.ndarray, KeptLogits]


class ReplayedLogits:
    """A frozen network's logits of views that a later run makes again.

    A file has the logits of one pass over the data, by the place of an image
    in it. What a step finds is used; what it does not find, the network says
    and the file keeps. Either way the logits are those that the format gives
    back, so a run does not depend on what was in the files.

    Args:
        folder (str): The folder of the files of all networks.
        key (str): What the logits are of.
        form (LogitFormat): What is kept of them.
        places (int): How many images a file has.
        max_bytes (int): Of all files in the folder.
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
        self._places = slice(0, 0)
        self._images: Optional[np.ndarray] = None
        self._pending: Optional[Pending] = None
        self._checked = False
        self._warned = False
        self._writes = True

    def __deepcopy__(self, memo: dict) -> 'ReplayedLogits':
        """A copy of a model that has it, an EMA for instance, shares it."""
        return self

    def begin_step(self, name: str, places: slice, images: np.ndarray) -> None:
        """Tell which images the next step has.

        Args:
            name (str): Of the pass over the data.
            places (slice): Those of the B images in it.
            images (np.ndarray): Their fingerprints, uint64 of shape (B,).
        """
        if name != self._name:
            self._name, self._file = name, self._open(name)
        self._places, self._images = places, images

    def end_step(self) -> None:
        """Write what the step has not found."""
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
        """Look up the logits of a batch, or have the network say them.

        Args:
            inputs (Tensor): The images (B, 3, H, W).
            data_samples (List[DataSample], optional): Not looked at.
            run (Callable): Runs the network on the images.

        Returns:
            Tensor: float32 of shape (B, C).

        Raises:
            ValueError: At first, if the network says something else than was
                found.
        """
        file, images = self._file, self._images
        found = None
        if file is not None and images is not None:
            found = file.read(self._places, images)
        if found is not None:
            kept = self.form.unpack(found).to(inputs.device)
            if not self._checked:
                _compare(kept, run(inputs), self.folder)
                self._checked = True
            return self.form.spread(kept)
        kept = self.form.keep(run(inputs))
        if file is not None and images is not None and self._writes:
            self._pending = file, self._places, images, kept
        return self.form.spread(kept)

    def _open(self, name: str) -> Optional[RecordFile]:
        path = osp.join(self.folder, self.key, f'{name}.logits')
        try:
            file = RecordFile.open(path, self.form.record, self.places, self.max_bytes)
        except (OSError, Timeout) as error:
            self._warn(f'{error}')
            return None
        if file is None:
            self._warn(f'{self.folder!r} has no room for more within `max_bytes`')
        return file

    def _warn(self, why: str) -> None:
        if not self._warned:
            warn(
                f'TeacherCacheHook: {why}. Training goes on with what there is; '
                'what is not there the teacher computes, and it is not kept.'
            )
        self._warned = True


def _compare(kept: KeptLogits, said: torch.Tensor, folder: str) -> None:
    """Compare what was found with what the network says now."""
    half = said.dtype != torch.float32 or torch.is_autocast_enabled(said.device.type)
    said = said.float()
    same = said if kept.classes is None else said.gather(1, kept.classes)
    most = (kept.values.float() - same).abs().max() / said.abs().max()
    if not most < (0.1 if half else 0.005):
        raise ValueError(
            f"Invalid `TeacherCacheHook.folder`: expected the teacher's logits in "
            f'{folder!r}, got some that differ by {float(most):.2g} of the largest '
            'from what it says of the same images. Remove the folder.'
        )
