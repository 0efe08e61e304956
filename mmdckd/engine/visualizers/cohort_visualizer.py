# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import LocalVisBackend
from mmpretrain.visualization import UniversalVisualizer

from mmdckd import names
from mmdckd.registry import VISUALIZERS


@VISUALIZERS.register_module()
class CohortVisualizer(UniversalVisualizer):
    """Renames the scalars of a cohort so that backends group them by member.

    TensorBoard and others group scalars by what comes before the first ``/``:

    =================================  ===========================
    in the log                         in the backends
    =================================  ===========================
    student.main.loss                  main/loss
    distill.main.loss_kl               main/distill/loss_kl
    collective.main.loss_dckd.teacher  main/loss_dckd/teacher
    collective.main.entropy            main/training_entropy
    collective.agreement               cohort/training_agreement
    main/accuracy/top1                 main/accuracy/top1
    =================================  ===========================

    ``scalars.json`` keeps the names of the log. The arguments are those of
    MMPretrain's ``UniversalVisualizer``.

    Examples:
        >>> visualizer = dict(
        ...     type='mmdckd.CohortVisualizer',
        ...     vis_backends=[
        ...         dict(type='LocalVisBackend'),
        ...         dict(type='TensorboardVisBackend')
        ...     ])
    """

    def _initialize_fig(self, fig_cfg: dict) -> tuple:
        """Return no figure yet, as most runs draw none and the import of
        matplotlib is slow."""
        return None, _NoFigure(), None

    @master_only
    def set_image(self, image: np.ndarray) -> None:
        """Set the image to draw on.

        Args:
            image (np.ndarray): The image (H, W, 3), in RGB.
        """
        if self.ax_save is None:
            self.fig_save_canvas, self.fig_save, self.ax_save = super()._initialize_fig(
                self.fig_save_cfg
            )
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)

    @master_only
    def add_scalars(
        self,
        scalar_dict: dict,
        step: int = 0,
        file_path: Optional[str] = None,
        **kwargs,
    ) -> None:
        """Pass scalars to the backends.

        Args:
            scalar_dict (dict): The values by name.
            step (int): The epoch or iteration. Defaults to 0.
            file_path (str, optional): A second file for backends that write
                files. Defaults to None.
        """
        grouped = {group_name(name): v for name, v in scalar_dict.items()}
        for backend in self._vis_backends.values():
            local = isinstance(backend, LocalVisBackend)
            backend.add_scalars(
                scalar_dict if local else grouped, step, file_path, **kwargs
            )


class _NoFigure:
    """Stands in for the figure until there is one."""

    def get_dpi(self) -> None:
        return None


def group_name(name: str) -> str:
    """Return the name of a scalar, starting with its member.

    Args:
        name (str): The name in the log.

    Returns:
        str: The name as in the table of :class:`CohortVisualizer`; unchanged if
        it does not belong to a cohort.
    """
    found = names.parse_loss(name)
    if not found or found.part == names.TEACHER:
        return name
    stage = name[: -len(names.without_stage(name))]
    loss = found.name.replace('.', '/')
    if found.part == names.DISTILL:
        loss = f'{found.part}/{loss}'
    # Validation also has an entropy and an agreement.
    if found.part == names.COLLECTIVE and '/' not in loss:
        loss = f'training_{loss}'
    return stage + names.metric_name(found.member or names.COHORT, loss)
