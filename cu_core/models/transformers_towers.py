"""CLIP and SigLIP of transformers as image-text models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.models.preprocess import Preprocess, colours_of
from cu_core.models.towers import CLIP_MEAN, CLIP_STD, Tower, Towers
from cu_core.weights_file import read_json_object


class HuggingFace(Towers):
    """CLIP or SigLIP of transformers."""

    image_parts = ("vision_model.", "visual_projection.")
    linear_layers = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    inputs_first = False

    def __init__(self, body: Any, tokenizer: Any, preprocess: Preprocess):
        super().__init__()
        self.body, self.tokenizer, self.preprocess = body, tokenizer, preprocess
        self.loss = "sigmoid" if hasattr(body, "logit_bias") else "softmax"
        self.length = body.config.text_config.max_position_embeddings
        self.tokenize = self._tokens

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        found = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        return found["input_ids"]  # type: ignore[no-any-return]

    def blocks(self, tower: Tower) -> list[nn.Module]:
        """Layers of the encoder."""
        body: Any = self.body
        return list((body.vision_model if tower == "image" else body.text_model).encoder.layers)

    def heads(self, tower: Tower) -> list[nn.Parameter]:
        """The projection of CLIP; the pooling head of SigLIP."""
        clip = ("visual_projection.",) if tower == "image" else ("text_projection.",)
        siglip = ("vision_model.head.",) if tower == "image" else ("text_model.head.",)
        return [p for name, p in self.body.named_parameters() if name.startswith(clip + siglip)]

    def _embed_images(self, pixels: Tensor) -> Tensor:
        return _pooled(self.body.get_image_features(pixel_values=pixels))  # type: ignore[operator]

    def _embed_texts(self, tokens: Tensor) -> Tensor:
        return _pooled(self.body.get_text_features(input_ids=tokens))  # type: ignore[operator]

    def export(self, folder: Path) -> None:
        """Write a folder that ``from_pretrained`` loads."""
        from transformers import CLIPImageProcessor, SiglipImageProcessor

        self.body.save_pretrained(folder)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)
        look = self.preprocess
        size = {"height": look.size, "width": look.size}
        processor: Any = SiglipImageProcessor if self.loss == "sigmoid" else CLIPImageProcessor
        shared = {"size": size, "image_mean": list(look.mean), "image_std": list(look.std), "resample": 2}
        more = {} if self.loss == "sigmoid" else {"crop_size": size, "do_center_crop": False}
        processor(**shared, **more).save_pretrained(folder)


def _pooled(found: Any) -> Tensor:
    """Return the pooled tensor: transformers 5 returns an output with ``pooler_output``, older versions the tensor."""
    return found if isinstance(found, Tensor) else found.pooler_output


def hugging_face_towers(folder: str, pretrained: bool = True) -> HuggingFace:
    """Load a model of transformers.

    Args:
        folder: Folder that ``save_pretrained`` wrote, tokenizer included, or a name where there is a network.
        pretrained: Whether the weights are loaded. If not, they are fresh.

    Returns:
        The towers.

    Raises:
        UserError: The folder holds no CLIP or SigLIP, or its tokenizer does not fit.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder)
        if config.model_type not in ("clip", "siglip"):
            raise UserError(f"model.name: {folder} holds a {config.model_type} model; CLIP or SigLIP is needed.")
        body = AutoModel.from_pretrained(folder) if pretrained else AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except OSError as error:
        raise UserError(f"model.name: {folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    if len(tokenizer) > config.text_config.vocab_size:
        raise UserError(
            f"model.name: the tokenizer of {folder} has {len(tokenizer)} tokens, the text tower "
            f"{config.text_config.vocab_size}: it belongs to another model."
        )
    look: dict[str, tuple[float, ...]] = {"image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    if config.model_type == "siglip":
        look = dict.fromkeys(look, (0.5,) * 3)
    stored = Path(folder) / "preprocessor_config.json"
    if stored.is_file():
        found = read_json_object(stored)
        look = {name: colours_of(found, name, unset, stored) for name, unset in look.items()}
    return HuggingFace(
        body, tokenizer, Preprocess(config.vision_config.image_size, look["image_mean"], look["image_std"])
    )
