"""Writes test/goldens/inception.json: what torchvision's Inception-v3 computes, as it is and with pytorch-fid's patches.

    apt-get install python3-torch python3-torchvision
    python3 scripts/inceptionGolden.py > test/goldens/inception.json

Weights and images follow the formula of the golden files, shift + scale * v(i, seed) (src/cli/goldens/format.ts).
"""
import json

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models import inception_v3


def v(n, seed):
    i = np.arange(n, dtype=np.uint64)
    h = ((i + 1 + 7919 * seed) % 2**32 * 2654435761) % 2**32
    return (2 * h.astype(np.float64) / 4294967296 - 1).astype(np.float32)


def filled(shape, scale, shift, seed):
    n = int(np.prod(shape))
    values = np.float64(shift) + np.float64(scale) * v(n, seed).astype(np.float64)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def summary(name, tensor):
    values = tensor.double().flatten().numpy()
    digits = lambda x: float(f"{x:.9g}")
    return {
        "name": name,
        "shape": list(tensor.shape),
        "sum": digits(values.sum()),
        "meanAbs": digits(np.abs(values).mean()),
        "first": [digits(x) for x in values[:12]],
        "last": digits(values[-1]),
    }


def patch(network):
    """pytorch-fid's FIDInceptionA, C, E_1 and E_2: the pooling of their branch_pool."""
    inside = lambda x: F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    pools = {name: inside for name in "5b 5c 5d 6b 6c 6d 6e 7b".split()}
    pools["7c"] = lambda x: F.max_pool2d(x, 3, stride=1, padding=1)
    for name, pool in pools.items():
        block = getattr(network, f"Mixed_{name}")
        block.branch_pool.register_forward_pre_hook(Repooled(block, pool))


class Repooled:
    """Replaces what a block's own average pooling hands to branch_pool."""

    def __init__(self, block, pool):
        self.pool = pool
        block.register_forward_pre_hook(self.keep)

    def keep(self, _, inputs):
        self.input = inputs[0]

    def __call__(self, *_):
        return (self.pool(self.input),)


def features(network, image):
    found = []
    handle = network.avgpool.register_forward_hook(lambda _, inputs, output: found.append(output.flatten(1)))
    network(image)
    handle.remove()
    return found[0]


def scales(key, shape):
    if len(shape) == 4:  # a convolution, its ReLU included
        return (6 / np.prod(shape[1:])) ** 0.5, 0.0
    return {"weight": (0.2, 1.0), "bias": (0.1, 0.0), "running_mean": (0.1, 0.0), "running_var": (0.3, 1.0)}[
        key.split(".")[-1]
    ]


def build(variant):
    # FID's file has 1008 classes; the classifiers are no part of the features.
    network = inception_v3(weights=None, init_weights=False, aux_logits=False, transform_input=False)
    state, values = [], {}
    for key, tensor in network.state_dict().items():
        if key.startswith("fc.") or key.endswith("num_batches_tracked"):
            continue
        scale, shift = scales(key, tensor.shape)
        scale = float(f"{scale:.6g}")
        seed = len(state) + 1
        state.append([key, list(tensor.shape), scale, shift, seed])
        values[key] = filled(tensor.shape, scale, shift, seed)
    network.load_state_dict(values, strict=False)
    if variant == "fid":
        patch(network)
    return network.eval(), state


def case(variant, shape, name, gflop):
    network, state = build(variant)
    image = {"name": "image", "shape": shape, "scale": 1.0, "shift": 0.0, "seed": 1000}
    x = filled(shape, 1.0, 0.0, 1000)
    if name == "inception.forward":
        x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
    with torch.no_grad():
        single = features(network, x)
        exact = features(network.double(), x.double())
    spread = float((single.double() - exact).abs().max() / exact.abs().mean())
    # By the branches of the last block, so that each one's first and last elements are compared.
    parts = torch.split(exact, [320, 768, 768, 192], 1)
    return {
        "name": f"{name}.{variant}",
        "source": f"torchvision 0.14.1 inception_v3{', pooling as in pytorch-fid' if variant == 'fid' else ''}",
        "module": name,
        "config": {"variant": variant},
        "mode": "eval",
        "state": state,
        "inputs": [image],
        "outputs": [summary(part, values) for part, values in zip(["branch1x1", "branch3x3", "branch3x3dbl", "branch_pool"], parts)],
        "tolerance": 1e-4,
        "float32Spread": float(f"{spread:.2g}"),
        "gflop": gflop,
    }


cases = [
    case("fid", [1, 3, 107, 107], "inception.features", 1.1),
    case("torchvision", [1, 3, 107, 107], "inception.features", 1.1),
    case("fid", [1, 3, 64, 64], "inception.forward", 11.4),
]
lines = ",\n".join(json.dumps(one) for one in cases)
print(f'{{"about": "python3 scripts/inceptionGolden.py", "cases": [\n{lines}\n]}}')
