"""Image-text models behind one interface, and those of open_clip; CLIP and SigLIP: ``transformers_towers``.

N images, M texts, L tokens, D embedding width.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.messages import reason_of, shown_value
from cu_core.models.preprocess import Preprocess, colours_of
from cu_core.types import Tokenize
from cu_core.weights_file import read_json_object

Tower = Literal["image", "text"]
MISFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What open_clip raises for settings that make no model."""
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ImageFeatures(NamedTuple):
    """Outputs of the image tower."""

    embedding: Tensor
    """(N, D) at length one."""
    hidden: Tensor
    """(N, D'): mean over the tokens of the block at three quarters of the depth."""


class Towers(nn.Module, ABC):
    """An image tower and a text tower whose embeddings are compared."""

    body: nn.Module
    preprocess: Preprocess
    tokenize: Tokenize
    loss: Literal["softmax", "sigmoid"] = "softmax"

    image_parts: tuple[str, ...]
    """Prefixes of the names of the image tower's parameters."""
    linear_layers: tuple[str, ...]
    """Layers of a block that low-rank adapters change."""
    inputs_first: bool
    """Whether the image projection's weight is (width, D) and not (D, width)."""

    @abstractmethod
    def blocks(self, tower: Tower) -> list[nn.Module]:
        """Return the transformer blocks, first to last."""

    @abstractmethod
    def heads(self, tower: Tower) -> list[nn.Parameter]:
        """Return the parameters of the projection into the common space."""

    def project_out(self, basis_DK: Tensor) -> None:
        """Remove directions from image embeddings by changing the weights of the projection.

        Args:
            basis_DK: Orthonormal directions, (D, K).

        Raises:
            UserError: The image tower does not end in a projection without a bias.
        """
        heads = self.heads("image")
        if len(heads) != 1 or heads[0].dim() != 2:
            raise UserError("the image tower must end in one linear projection without a bias; this model's does not.")
        keep = torch.eye(len(basis_DK)).to(basis_DK) - basis_DK @ basis_DK.T
        with torch.no_grad():
            heads[0].copy_(heads[0] @ keep if self.inputs_first else keep @ heads[0])

    def parameters_of(self, tower: Tower) -> list[nn.Parameter]:
        """Return all parameters of a tower except scale and bias."""
        named = [(n, p) for n, p in self.body.named_parameters() if n not in ("logit_scale", "logit_bias")]
        return [p for name, p in named if name.startswith(self.image_parts) == (tower == "image")]

    def units(self) -> list[nn.Module]:
        """Return the modules of the towers that train, which are sharded each as one piece; inner ones first.

        A frozen tower is not sharded: workers embed different numbers of captions with it, each on its own.
        """
        found: list[nn.Module] = []
        for tower in ("image", "text"):
            if any(p.requires_grad for p in self.parameters_of(tower)):
                named = [(f"{name}.".startswith(self.image_parts), m) for name, m in self.body.named_children()]
                parts = [m for of_image, m in named if of_image == (tower == "image") and list(m.parameters())]
                found += [*self.blocks(tower), *parts]
        return found

    @abstractmethod
    def _embed_images(self, pixels: Tensor) -> Tensor: ...

    @abstractmethod
    def _embed_texts(self, tokens: Tensor) -> Tensor: ...

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the weights in the format of the library that the model comes from."""

    @property
    def scale(self) -> Tensor:
        """Factor of the cosines in logits."""
        return self.body.get_parameter("logit_scale").exp()

    @property
    def bias(self) -> Tensor | None:
        """Term that is added to logits with the sigmoid loss; ``None`` with the softmax loss."""
        return self.body.get_parameter("logit_bias") if self.loss == "sigmoid" else None

    def images(self, images: Tensor) -> ImageFeatures:
        """Compute the features of images, uint8 (N, channels, H, W)."""
        blocks = self.blocks("image")
        seen: list[Tensor] = []

        def keep(module: nn.Module, args: Any, output: Any) -> None:
            seen.append(output[0] if isinstance(output, tuple) else output)

        handle = blocks[max(0, 3 * len(blocks) // 4 - 1)].register_forward_hook(keep)
        try:
            embedding = self._embed_images(self.preprocess(images, self._dtype))
        finally:
            handle.remove()
        return ImageFeatures(F.normalize(embedding, dim=-1), seen[0].mean(1))

    def embed(self, pixels: Tensor) -> Tensor:
        """Embed normalised images, (N, D) at length one."""
        return F.normalize(self._embed_images(pixels), dim=-1)

    def texts(self, tokens: Tensor) -> Tensor:
        """Embed captions, int64 (M, L), as (M, D) at length one."""
        return F.normalize(self._embed_texts(tokens), dim=-1)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


class OpenClip(Towers):
    """A model of open_clip."""

    image_parts = ("visual.",)
    linear_layers: tuple[str, ...] = ("c_fc", "c_proj", "qkv", "proj", "fc1", "fc2")

    def __init__(
        self, body: nn.Module, tokenize: Tokenize, config: Mapping[str, Any], look: Mapping[str, Any] | None = None
    ):
        """Wrap a model of open_clip.

        Args:
            body: The model.
            tokenize: Its tokenizer.
            config: open_clip's configuration of the model.
            look: May hold ``mean`` and ``std`` of the images.

        Raises:
            UserError: The image tower is not a transformer.
        """
        super().__init__()
        self.body, self.tokenize, self.config = body, tokenize, config
        visual: Any = body.get_submodule("visual")
        self.inputs_first = not hasattr(visual, "trunk")  # timm's towers end in a linear layer
        size = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
        mean, std = ((look or {}).get(n) or getattr(visual, f"image_{n}", None) for n in ("mean", "std"))
        self.preprocess = Preprocess(size, tuple(mean or CLIP_MEAN), tuple(std or CLIP_STD))
        self.loss = "sigmoid" if getattr(body, "logit_bias", None) is not None else "softmax"
        self.blocks("image")

    def blocks(self, tower: Tower) -> list[nn.Module]:
        """Blocks of open_clip's own transformers and of timm's.

        Raises:
            UserError: The tower is not a transformer.
        """
        inside: Any = self.body.get_submodule("visual") if tower == "image" else getattr(self.body, "text", self.body)
        if hasattr(inside, "trunk") and hasattr(inside.trunk, "blocks"):  # of timm
            return list(inside.trunk.blocks)
        if not hasattr(inside, "transformer") or not hasattr(inside.transformer, "resblocks"):
            raise UserError(
                f"model.name: the {tower} tower is a {type(inside).__name__}; transformers of open_clip and timm are "
                f"supported."
            )
        return list(inside.transformer.resblocks)

    def heads(self, tower: Tower) -> list[nn.Parameter]:
        """``visual.proj`` or ``visual.head``; ``text_projection``."""
        named = dict(self.body.named_parameters())
        wanted = ("visual.proj", "visual.head.") if tower == "image" else ("text_projection", "text.text_projection")
        return [p for name, p in named.items() if name.startswith(wanted)]

    def _embed_images(self, pixels: Tensor) -> Tensor:
        return self.body.encode_image(pixels)  # type: ignore[operator, no-any-return]

    def _embed_texts(self, tokens: Tensor) -> Tensor:
        return self.body.encode_text(tokens)  # type: ignore[operator, no-any-return]

    @property
    def exported_config(self) -> Mapping[str, Any]:
        """The configuration as it is exported."""
        return self.config

    def export(self, folder: Path) -> None:
        """Write a folder that ``open_clip.create_model("local-dir:FOLDER")`` loads, with the state dict as one file."""
        folder.mkdir(parents=True, exist_ok=True)
        look: dict[str, Any] = {"mean": list(self.preprocess.mean), "std": list(self.preprocess.std)}
        look |= {"size": [self.preprocess.size, self.preprocess.size]}
        look |= {"resize_mode": "squash", "interpolation": "bilinear"}
        about = {"model_cfg": dict(self.exported_config), "preprocess_cfg": look}
        (folder / "open_clip_config.json").write_text(json.dumps(about, indent=1))
        state = {k: v.detach().cpu().contiguous() for k, v in self.body.state_dict().items()}
        save_file(state, str(folder / "open_clip_model.safetensors"))


def open_clip_towers(name: str, pretrained: bool = False) -> OpenClip:
    """Build a model of open_clip.

    Args:
        name: A name that open_clip knows, or a JSON file with a configuration of a model.
        pretrained: Whether the weights are those that open_clip publishes under the name. If not, they are fresh.

    Returns:
        The towers.

    Raises:
        UserError: The name is neither, or the weights cannot be fetched.
    """
    import open_clip  # type: ignore[import-untyped]

    if name.endswith(".json"):
        if pretrained:
            raise UserError(f"model.weights=pretrained: {name} has none; set model.start to a file of weights.")
        return _own_open_clip(Path(name))
    if name not in open_clip.list_models():
        raise UserError(f"model.name: open_clip has no model {name!r}; `python -c 'import open_clip; "
                         f"print(open_clip.list_models())'` lists them, a JSON file describes an own one.")  # fmt: skip
    tag = next((t for n, t in open_clip.list_pretrained() if n == name), None) if pretrained else None
    try:
        # Published weights may be those of another activation than the name's own configuration has.
        quick = bool(tag and open_clip.get_pretrained_cfg(name, tag).get("quick_gelu"))
        body = open_clip.create_model(
            name, pretrained=tag, load_weights=pretrained, force_quick_gelu=quick, device=torch.get_default_device()
        )
        config = {**open_clip.get_model_config(name), **({"quick_gelu": True} if quick else {})}
        return OpenClip(body, open_clip.get_tokenizer(name), config)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"model.name: {name} cannot be fetched ({str(error).splitlines()[0]}); set model.start to a local file."
        ) from error


def _own_open_clip(path: Path) -> OpenClip:
    import open_clip

    config, look = _read_open_clip(path)
    parts = {name: value for name, value in config.items() if name != "custom_text"}
    try:
        body = open_clip.CustomTextCLIP(**parts) if config.get("custom_text") else open_clip.CLIP(**parts)
    except MISFIT as error:
        raise UserError(f"model.name: {path} is no open_clip model configuration: {reason_of(error)}.") from error
    if "hf_tokenizer_name" in config["text_cfg"]:
        raise UserError(f"model.name: {path}: text_cfg.hf_tokenizer_name: name its folder as model.text_tower.")
    tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"].get("context_length", 77))
    if len(tokenizer.encoder) > config["text_cfg"].get("vocab_size", 49408):
        raise UserError(
            f"model.name: {path}: text_cfg.vocab_size must be at least {len(tokenizer.encoder)}, the tokenizer's."
        )
    return OpenClip(body, tokenizer, config, look)


def _read_open_clip(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the configuration of a model and what it says about the images."""
    if not path.is_file():
        raise UserError(f"model.name: no file {path}; name a JSON file with an open_clip model configuration.")
    content = read_json_object(path)
    config = content.get("model_cfg", content)
    look = content.get("preprocess_cfg", {})
    held = config if isinstance(config, dict) else {}
    parts = {"vision_cfg": held.get("vision_cfg"), "text_cfg": held.get("text_cfg")}
    for name, part in ({"model_cfg": config} | parts | {"preprocess_cfg": look}).items():
        if not isinstance(part, dict):
            raise UserError(
                f"model.name: {path} is no open_clip model configuration: {name} must be a mapping, got "
                f"{shown_value(part)}."
            )
    colours_of(look, "mean", CLIP_MEAN, path)
    colours_of(look, "std", CLIP_STD, path)
    return config, look
