#!/usr/bin/python3
"""Trains samples/fashion-cnn.onnx on Fashion-MNIST, and measures it.

Needs Debian 12's python3-torch, python3-numpy and dataset-fashion-mnist. Everything random follows --seed; the number of
threads is fixed because it decides the order of float additions. The test split is used once, after the last epoch: no
epoch, option or checkpoint is chosen by it.
"""

import argparse
import hashlib
import pathlib
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import fashion_mnist

SAMPLES = pathlib.Path(__file__).resolve().parent.parent
PIXEL_SCALE = 0.00392156862745098  # 1/255: the same constant as in fashion-mnist/*.yaml
OPSET = 11  # older than the product's own, so that the sample also goes through its upgrade of operators


def conv_bn(inputs, outputs, kernel, stride=1, groups=1):
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolutions around which the input is added."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn(channels, channels, 3, groups=channels), nn.ReLU6(),
            *conv_bn(channels, channels, 1))
        self.activation = nn.ReLU6()

    def forward(self, x):
        return self.activation(x + self.body(x))


class FashionCnn(nn.Module):
    """157,658 parameters: three strided stages of Conv+BN with a residual block each, a 1x1 head, and one Gemm."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *conv_bn(1, 16, 3), nn.ReLU6(),
            *conv_bn(16, 32, 3, stride=2), nn.ReLU6(), Residual(32),
            *conv_bn(32, 64, 3, stride=2), nn.ReLU6(), Residual(64),
            *conv_bn(64, 128, 3, stride=2), nn.ReLU6(), Residual(128),
            *conv_bn(128, 256, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(256, 10)

    def forward(self, x):
        return self.classifier(self.dropout(self.flatten(self.pool(self.features(x)))))


def to_float(pictures):
    return pictures.to(torch.float32).mul_(PIXEL_SCALE).contiguous(memory_format=torch.channels_last)


def augment(pictures, generator, reach=2):
    """Moves each picture by up to `reach` pixels in both directions, and mirrors every second one on average."""
    count = len(pictures)
    padded = functional.pad(pictures, (reach,) * 4)
    rows = torch.randint(0, 2 * reach + 1, (count, 1), generator=generator) + torch.arange(28)
    columns = torch.randint(0, 2 * reach + 1, (count, 1), generator=generator) + torch.arange(28)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    return padded[torch.arange(count)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def top1(network, pictures, labels):
    """Share of pictures (0..1) whose largest logit is the label's."""
    network.eval()
    with torch.no_grad():
        correct = sum((network(to_float(p)).argmax(1) == l).sum().item()
                      for p, l in zip(pictures.split(500), labels.split(500)))
    return correct / len(labels)


def train(network, pictures, labels, epochs, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    steps = len(labels) // batch
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(1, epochs + 1):
        network.train()
        started, total = time.monotonic(), 0.0
        order = torch.randperm(len(labels), generator=generator)[:steps * batch]
        for indices in order.split(batch):
            loss = functional.cross_entropy(
                network(to_float(augment(pictures[indices], generator))), labels[indices], label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch:2}/{epochs}  loss {total / steps:.4f}  {time.monotonic() - started:.0f} s", flush=True)


def keep_dropout(graph, value, ratio, _train):
    """Writes the Dropout that torch would leave out of a network in evaluation mode: compilers must remove it themselves."""
    return graph.op("Dropout", value, ratio_f=torch.onnx.symbolic_helper._maybe_get_const(ratio, "f")).setType(value.type())


def export(network, path):
    """Writes the trained network with its BatchNormalization, Dropout and constants as they are: nothing fused or folded."""
    network = network.to(memory_format=torch.contiguous_format).eval()
    torch.onnx.register_custom_op_symbolic("aten::dropout", keep_dropout, OPSET)
    torch.onnx.export(
        network, torch.zeros(1, 1, 28, 28), str(path), opset_version=OPSET,
        training=torch.onnx.TrainingMode.PRESERVE,  # of a network in evaluation mode; EVAL would fuse Conv+BN
        do_constant_folding=False,
        input_names=["input"], output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=fashion_mnist.DEBIAN_FOLDER, help="folder of the idx files (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=SAMPLES / "fashion-cnn.onnx", help="the network to write (%(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the 60,000 training pictures (%(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="pictures per step (%(default)s)")
    parser.add_argument("--seed", type=int, default=20170825, help="of weights, order and augmentation (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (%(default)s)")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    print(f"torch {torch.__version__}, numpy {np.__version__}, seed {arguments.seed}, {arguments.threads} threads")

    # Copies, because what numpy reads from a file is not writable and torch warns about sharing it.
    pictures, labels = (torch.from_numpy(a.copy()) for a in fashion_mnist.load(arguments.data, "train"))
    network = FashionCnn().to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters, {len(labels):,} training pictures")

    started = time.monotonic()
    train(network, pictures, labels.long(), arguments.epochs, arguments.batch, arguments.seed)
    print(f"trained in {time.monotonic() - started:.0f} s")

    pictures, labels = (torch.from_numpy(a.copy()) for a in fashion_mnist.load(arguments.data, "t10k"))
    print(f"top-1 on the {len(labels):,} test pictures: {top1(network, pictures, labels.long()):.4f}")
    subset = SAMPLES / "fashion-mnist" / "evaluation.npz"
    if subset.exists():
        with np.load(subset) as arrays:
            value = top1(network, torch.from_numpy(arrays["input"]), torch.from_numpy(arrays["labels"]).long())
            print(f"top-1 on the {len(arrays['labels']):,} pictures of {subset.name}: {value:.4f}")

    export(network, arguments.out)
    content = arguments.out.read_bytes()
    print(f"wrote {arguments.out.name}: {len(content):,} bytes, sha256:{hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
