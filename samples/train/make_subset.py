#!/usr/bin/python3
"""Writes samples/fashion-mnist: 500 pictures for calibration from the training split, 1,000 for evaluation from the test split.

Both are drawn by --seed, with the same number of each class, and shuffled. The archives hold fixed time stamps and are
written by one deflate level, so that the same data and seed give the same bytes.
"""

import argparse
import hashlib
import io
import pathlib
import zipfile

import numpy as np

import fashion_mnist

SAMPLES = pathlib.Path(__file__).resolve().parent.parent


def balanced(labels, count, random):
    """Returns `count` distinct indices in random order, the same number of every class."""
    classes = np.unique(labels)
    each, rest = divmod(count, len(classes))
    if rest:
        raise SystemExit(f"Cannot draw {count} pictures evenly from {len(classes)} classes: take a multiple of {len(classes)}.")
    chosen = [random.choice(np.flatnonzero(labels == c), each, replace=False) for c in classes]
    return random.permutation(np.concatenate(chosen))


def write_npz(path, arrays):
    """Like numpy.savez_compressed, without the time of writing."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, stream.getvalue(), compresslevel=9)
    content = path.read_bytes()
    shapes = ", ".join(f"{n} {a.dtype} {list(a.shape)}" for n, a in arrays.items())
    print(f"wrote {path.name}: {shapes}; {len(content):,} bytes, sha256:{hashlib.sha256(content).hexdigest()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=fashion_mnist.DEBIAN_FOLDER, help="folder of the idx files (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=SAMPLES / "fashion-mnist", help="folder to write to (%(default)s)")
    parser.add_argument("--seed", type=int, default=20170825, help="of the choice and its order (%(default)s)")
    arguments = parser.parse_args()

    arguments.out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(arguments.seed)
    for name, split, count in (("calibration", "train", 500), ("evaluation", "t10k", 1000)):
        pictures, labels = fashion_mnist.load(arguments.data, split)
        chosen = balanced(labels, count, random)
        # Calibration needs no labels, and without them nobody measures accuracy on it by mistake.
        arrays = {"input": pictures[chosen]} if name == "calibration" else {"input": pictures[chosen], "labels": labels[chosen]}
        write_npz(arguments.out / f"{name}.npz", arrays)


if __name__ == "__main__":
    main()
