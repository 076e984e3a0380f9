"""Features of a saved model for rows of a data set: by them equal content is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.data.forget_split import RowSet
from cu_core.data.order import Rows
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.signatures import Embed
from cu_core.errors import UserError
from cu_core.run import load_model
from cu_core.storage import fetched, shown
from cu_core.unlearn.evaluate import predict
from cu_core.workspace import Workspace


def features_of(folder: Path, data: Path) -> tuple[Embed, ShardReader]:
    """The features of a model, and the data as it reads them.

    Raises: UserError if the folder holds no saved model, or one of other classes.
    """
    config = _config_of(folder, data)
    reader = Workspace(config).reader
    model = load_model(config, reader, folder)

    def embed(split: Split, rows: Rows) -> NDArray[np.float32]:
        return predict(model, reader, RowSet(split, rows)).embedding

    return embed, reader


def _config_of(folder: Path, data: Path) -> RunConfig:
    if not fetched(folder / "meta.json"):
        raise UserError(f"--model: {shown(folder)} is no saved model; name the folder that `cu train CONFIG` prints.")
    built: dict[str, object] = {"weights": None, "start": None, "new_head": False, "weights_key": None, "key_map": {}}
    return config_from({"model": {**read_meta(folder)["model"], **built}, "data": {"path": shown(data)}})
