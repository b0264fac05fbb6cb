"""Reads the four files of Debian's package dataset-fashion-mnist (idx format, gzip)."""

import gzip
import pathlib
import struct

import numpy as np

DEBIAN_FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")


def read_idx(path):
    """Returns the unsigned bytes of one idx file as an array of the shape that the file declares."""
    with gzip.open(path, "rb") as stream:
        content = stream.read()
    zeros, element, rank = struct.unpack_from(">HBB", content)
    if zeros != 0 or element != 0x08:
        raise ValueError(f"Cannot read '{path}': expected an idx file of unsigned bytes (00 00 08 ..), "
                         f"got {content[:4].hex(' ')}.")
    shape = struct.unpack_from(f">{rank}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(folder, split):
    """Returns (pictures uint8 [N,1,28,28], labels uint8 [N]); split is 'train' (60,000) or 't10k' (10,000)."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise SystemExit(f"'{folder}' does not exist. Install the data with: sudo apt install dataset-fashion-mnist")
    pictures = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    if pictures.shape != (len(labels), 28, 28):
        raise ValueError(f"The {split} split of '{folder}' is inconsistent: pictures {pictures.shape}, labels {labels.shape}.")
    return pictures[:, None], labels
