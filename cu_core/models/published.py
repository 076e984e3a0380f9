"""Published architectures of timm, torchvision and transformers, with the preprocessing that their library records."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.error import URLError

from torch import nn

from cu_core.errors import UserError
from cu_core.models.preprocess import Preprocess, interpolation_of
from cu_core.models.transformers_classifier import (
    family_of,
    is_image_classifier,
    transformers_body,
    transformers_preprocess,
)

WITH_LAYER_NORM = re.compile("(vit|deit|beit|swin|convnext|dinov2|eva|mixer|resmlp|gmlp|cait)")
"""Beginnings of the names of such families."""
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Wanted(NamedTuple):
    """What is asked of a library."""

    name: str
    """Name of the architecture, or folder."""
    class_names: Sequence[str]
    size: int
    """Side of the images."""
    pretrained: bool
    """Whether the library's own weights are fetched."""


def library_of(name: str) -> str | None:
    """Return the library of a published classifier, by its name; ``None`` for other models."""
    library, colon, rest = name.partition(":")
    if not colon or library not in LIBRARIES or (library == "transformers" and not is_image_classifier(rest)):
        return None
    return library


def has_layer_norm(name: str) -> bool:
    """Return whether a classifier is of a family with layer norm in place of batch norm, by its name.

    A folder of transformers says its family. Families that are not known here, and a user's own models, count as not.
    """
    library, _, rest = name.rpartition(":")
    if library == "transformers":
        return bool(WITH_LAYER_NORM.match(str(family_of(rest))))
    return library in ("", *LIBRARIES) and bool(WITH_LAYER_NORM.match(rest))


def published_preprocess(name: str, image_size: int | None) -> Preprocess:
    """Return the preprocessing that the library records for an architecture.

    Args:
        name: As ``model.name``.
        image_size: Side in pixels in place of the recorded one.

    Returns:
        The preprocessing.

    Raises:
        UserError: The architecture is unknown, or its preprocessing cannot be reproduced.
    """
    library, _, rest = name.partition(":")
    found = LIBRARIES[library].preprocess(rest)
    return Preprocess(image_size or found.size, *list(found.__dict__.values())[1:])


def published_body(name: str, class_names: Sequence[str], size: int, pretrained: bool) -> nn.Module:
    """Build an architecture with a head for these classes.

    Args:
        name: As ``model.name``.
        class_names: Names of the classes.
        size: Side of the images in pixels.
        pretrained: Whether the weights are those that the library publishes; the head is fresh.

    Returns:
        The plain module.

    Raises:
        UserError: The architecture is unknown or cannot be used, or the weights cannot be fetched.
    """
    library, _, rest = name.partition(":")
    try:
        return LIBRARIES[library].build(Wanted(rest, class_names, size, pretrained))
    except (URLError, OSError) as error:
        (reason, *_) = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"model.weights=pretrained: the weights of {name} could not be fetched ({reason[:200]}); without a network "
            f"set model.start to a local file."
        ) from error


def _unknown(library: str, name: str, known: Sequence[str]) -> UserError:
    near = difflib.get_close_matches(name, known, 3)
    hint = f"did you mean {', '.join(near)}?" if near else f"it has, for example, {', '.join(known[:5])}."
    return UserError(f"model.name: {library} has no image classifier {name!r}; {hint}")


def _timm_config(name: str) -> Any:
    import timm

    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    return timm.get_pretrained_cfg(name)


def _timm_preprocess(name: str) -> Preprocess:
    config = _timm_config(name)
    if config is None:
        return Preprocess(224, *IMAGENET, "bicubic", 0.875, True)
    if config.crop_mode not in ("center", "squash"):
        raise UserError(f"model.name: timm:{name} crops by {config.crop_mode!r}, which is not supported.")
    share, keeps = config.crop_pct or 1.0, config.crop_mode == "center"
    interpolation = interpolation_of(f"timm:{name}", config.interpolation)
    return Preprocess(config.input_size[-1], tuple(config.mean), tuple(config.std), interpolation, share, keeps)


def needs_size(name: str, size: int) -> bool:
    """Return whether an architecture of timm must be built for images of this size, which is not its recorded one."""
    config = _timm_config(name)
    return config is not None and config.fixed_input_size and config.input_size[-1] != size


def _timm_body(wanted: Wanted) -> nn.Module:
    import timm

    _timm_config(wanted.name)
    more = {"img_size": wanted.size} if needs_size(wanted.name, wanted.size) else {}
    try:
        body: nn.Module = timm.create_model(
            wanted.name, pretrained=wanted.pretrained, num_classes=len(wanted.class_names), **more
        )
    except (TypeError, AssertionError, ValueError) as error:
        raise UserError(f"model.name: timm:{wanted.name} cannot be built for {wanted.size} pixels: {error}") from error
    return body


def _torchvision_weights(name: str) -> Any:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    return torchvision.models.get_model_weights(name).DEFAULT


def _torchvision_preprocess(name: str) -> Preprocess:
    look = _torchvision_weights(name).transforms()
    share = look.crop_size[0] / look.resize_size[0]
    interpolation = interpolation_of(f"torchvision:{name}", look.interpolation.value)
    return Preprocess(look.crop_size[0], tuple(look.mean), tuple(look.std), interpolation, share, True)


def _torchvision_body(wanted: Wanted) -> nn.Module:
    import torchvision

    weights = _torchvision_weights(wanted.name)
    if wanted.name in ("googlenet", "inception_v3"):
        raise UserError(f"model.name: torchvision:{wanted.name} has further heads in training; timm has it without.")
    more = {"image_size": wanted.size} if wanted.name.startswith("vit_") else {}
    if not wanted.pretrained:
        return torchvision.models.get_model(wanted.name, num_classes=len(wanted.class_names), **more)  # type: ignore[no-any-return]
    body: nn.Module = torchvision.models.get_model(wanted.name, weights=weights, **more)
    fresh = torchvision.models.get_model(wanted.name, num_classes=len(wanted.class_names), **more)
    published, own = body.state_dict(), fresh.state_dict()
    fresh.load_state_dict({k: v if v.shape == own[k].shape else own[k] for k, v in published.items()})
    return fresh  # type: ignore[no-any-return]


class Library(NamedTuple):
    """A library of published classifiers."""

    build: Callable[[Wanted], nn.Module]
    preprocess: Callable[[str], Preprocess]


LIBRARIES: Mapping[str, Library] = {
    "timm": Library(_timm_body, _timm_preprocess),
    "torchvision": Library(_torchvision_body, _torchvision_preprocess),
    "transformers": Library(lambda w: transformers_body(w.name, w.class_names, w.size), transformers_preprocess),
}
"""By the prefix of ``model.name``."""
