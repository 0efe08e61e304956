# Copyright (c) mmdckd contributors. All rights reserved.
"""The networks of CRD's CIFAR benchmark, with the names of its reference code.

Written for the tests, from the descriptions in the papers and the names in
the checkpoints: plain PyTorch that owes nothing to the code under test.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, size, stride=1, groups=1, bias=False):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=bias)


def shortcut(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def stages(block, inputs, widths, numbers, strides, out=1):
    """Sequences of blocks; the first of each has the stride."""
    for width, number, stride in zip(widths, numbers, strides):
        blocks = []
        for index in range(number):
            blocks.append(block(inputs, width, 1 if index else stride))
            inputs = width * out
        yield nn.Sequential(*blocks)


def pooled(x):
    return x.mean((2, 3))


class BasicBlock(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        if stride > 1 or inputs != width:
            self.downsample = shortcut(inputs, width, stride)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + getattr(self, 'downsample', nn.Identity())(x))


class ResNet(nn.Module):
    def __init__(self, depth, stem=16, base=16, num_classes=100):
        super().__init__()
        self.conv1 = conv(3, stem, 3)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1, self.layer2, self.layer3 = stages(
            BasicBlock,
            stem,
            (base, 2 * base, 4 * base),
            [(depth - 2) // 6] * 3,
            (1, 2, 2),
        )
        self.fc = nn.Linear(4 * base, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(pooled(self.layer3(self.layer2(self.layer1(x)))))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.shortcut = shortcut(inputs, 4 * width, stride)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet50(nn.Module):
    def __init__(self, num_classes=100):
        super().__init__()
        self.conv1 = conv(3, 64, 3)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(
            Bottleneck, 64, (64, 128, 256, 512), (3, 4, 6, 3), (1, 2, 2, 2), 4
        )
        self.linear = nn.Linear(2048, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(pooled(x))


class WideBlock(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.convShortcut = None
        if inputs != width:
            self.convShortcut = conv(inputs, width, 1, stride)

    def forward(self, x):
        ready = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(ready))))
        return out + (self.convShortcut(ready) if self.convShortcut else x)


class WideBlocks(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, depth, widen_factor=1, num_classes=100):
        super().__init__()
        widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.conv1 = conv(3, 16, 3)
        self.block1, self.block2, self.block3 = map(
            WideBlocks, stages(WideBlock, 16, widths, [(depth - 4) // 6] * 3, (1, 2, 2))
        )
        self.bn1 = nn.BatchNorm2d(widths[-1])
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(pooled(F.relu(self.bn1(x))))


class VGG(nn.Module):
    CONVOLUTIONS = {
        8: (1, 1, 1, 1, 1),
        11: (1, 1, 2, 2, 2),
        13: (2, 2, 2, 2, 2),
        16: (2, 2, 3, 3, 3),
        19: (2, 2, 4, 4, 4),
    }

    def __init__(self, depth, num_classes=100):
        super().__init__()
        inputs = 3
        widths = (64, 128, 256, 512, 512)
        for index, number in enumerate(self.CONVOLUTIONS[depth]):
            layers = []
            for _ in range(number):
                layers += [
                    conv(inputs, widths[index], 3, bias=True),
                    nn.BatchNorm2d(widths[index]),
                    nn.ReLU(),
                ]
                inputs = widths[index]
            # The last activation is applied outside of the block.
            setattr(self, f'block{index}', nn.Sequential(*layers[:-1]))
        self.classifier = nn.Linear(512, num_classes)

    def forward(self, x):
        for index in range(5):
            x = F.relu(getattr(self, f'block{index}')(x))
            if index < 3:
                x = F.max_pool2d(x, 2)
        return self.classifier(pooled(x))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, width, stride, ratio):
        super().__init__()
        middle = inputs * ratio
        self.adds = stride == 1 and inputs == width
        self.conv = nn.Sequential(
            conv(inputs, middle, 1),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            conv(middle, middle, 3, stride, middle),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            conv(middle, width, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, ratio=6, width=0.5, num_classes=100):
        super().__init__()
        inputs = int(32 * width)
        self.conv1 = nn.Sequential(
            conv(3, inputs, 3, 2), nn.BatchNorm2d(inputs), nn.ReLU()
        )
        self.blocks = nn.ModuleList()
        for expansion, channels, number, stride in [
            (1, 16, 1, 1),
            (ratio, 24, 2, 1),
            (ratio, 32, 3, 2),
            (ratio, 64, 4, 2),
            (ratio, 96, 3, 1),
            (ratio, 160, 3, 2),
            (ratio, 320, 1, 1),
        ]:
            blocks = []
            for index in range(number):
                outputs = int(channels * width)
                blocks.append(
                    InvertedResidual(inputs, outputs, 1 if index else stride, expansion)
                )
                inputs = outputs
            self.blocks.append(nn.Sequential(*blocks))
        self.conv2 = nn.Sequential(
            conv(inputs, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU()
        )
        self.classifier = nn.Sequential(nn.Linear(1280, num_classes))

    def forward(self, x):
        x = self.conv1(x)
        for blocks in self.blocks:
            x = blocks(x)
        return self.classifier(pooled(self.conv2(x)))


def shuffled(x, groups):
    """Take one channel of each group in turn."""
    number, channels, height, width = x.shape
    x = x.reshape(number, groups, channels // groups, height, width)
    return x.transpose(1, 2).reshape(number, channels, height, width)


class GroupBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        middle = outputs // 4
        self.groups = 1 if inputs == 24 else 3
        self.conv1 = conv(inputs, middle, 1, groups=self.groups)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = conv(middle, middle, 3, stride, middle)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = conv(middle, outputs, 1, groups=3)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.halves = stride == 2

    def forward(self, x):
        out = shuffled(F.relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        if self.halves:
            out = torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1)
        else:
            out = out + x
        return F.relu(out)


class ShuffleNetV1(nn.Module):
    def __init__(self, num_classes=100):
        super().__init__()
        self.conv1 = conv(3, 24, 1)
        self.bn1 = nn.BatchNorm2d(24)
        inputs = 24
        for index, (width, number) in enumerate([(240, 4), (480, 8), (960, 4)]):
            blocks = [GroupBlock(inputs, width - inputs, 2)]
            blocks += [GroupBlock(width, width, 1) for _ in range(number - 1)]
            setattr(self, f'layer{index + 1}', nn.Sequential(*blocks))
            inputs = width
        self.linear = nn.Linear(960, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(pooled(self.layer3(self.layer2(self.layer1(x)))))


class SplitBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.conv1 = conv(half, half, 1)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = conv(half, half, 3, 1, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(half, half, 1)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x):
        kept, out = x.chunk(2, 1)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(out)))))
        out = F.relu(self.bn3(self.conv3(out)))
        return shuffled(torch.cat([kept, out], 1), 2)


class DownBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.conv1 = conv(inputs, inputs, 3, 2, inputs)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv2 = conv(inputs, half, 1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(inputs, half, 1)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = conv(half, half, 3, 2, half)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv(half, half, 1)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x):
        left = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.bn4(self.conv4(F.relu(self.bn3(self.conv3(x)))))
        right = F.relu(self.bn5(self.conv5(right)))
        return shuffled(torch.cat([left, right], 1), 2)


class ShuffleNetV2(nn.Module):
    def __init__(self, num_classes=100):
        super().__init__()
        self.conv1 = conv(3, 24, 1)
        self.bn1 = nn.BatchNorm2d(24)
        inputs = 24
        for index, (width, number) in enumerate([(116, 3), (232, 7), (464, 3)]):
            blocks = [DownBlock(inputs, width)]
            blocks += [SplitBlock(width) for _ in range(number)]
            setattr(self, f'layer{index + 1}', nn.Sequential(*blocks))
            inputs = width
        self.conv2 = conv(464, 1024, 1)
        self.bn2 = nn.BatchNorm2d(1024)
        self.linear = nn.Linear(1024, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(pooled(F.relu(self.bn2(self.conv2(x)))))


#: Name to reference network, to be called with ``num_classes``.
NETWORKS = {
    **{
        f'resnet{depth}': lambda depth=depth, **kw: ResNet(depth, **kw)
        for depth in (8, 14, 20, 32, 44, 56, 110)
    },
    'resnet8x4': lambda **kw: ResNet(8, 32, 64, **kw),
    'resnet32x4': lambda **kw: ResNet(32, 32, 64, **kw),
    'resnet50': ResNet50,
    **{
        f'wrn{depth}_{factor}': lambda depth=depth, factor=factor, **kw: WideResNet(
            depth, factor, **kw
        )
        for depth in (16, 40)
        for factor in (1, 2)
    },
    **{
        f'vgg{depth}': lambda depth=depth, **kw: VGG(depth, **kw)
        for depth in VGG.CONVOLUTIONS
    },
    'mobilenetv2': MobileNetV2,
    'shufflenetv1': ShuffleNetV1,
    'shufflenetv2': ShuffleNetV2,
}
