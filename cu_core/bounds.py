"""Ranges of settings: every number that a configuration may hold is finite and lies between two stated ends.

A setting's type names its range, e.g. ``seed: Seed``. It is checked when the configuration is read and printed in the
reference; a test finds every number of the schema that has none.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

MOST_SEEDS = 2**32
"""Seeds are unsigned 32-bit numbers, as scikit-learn's and NumPy's are."""


def _plain_number(value: Any) -> Any:
    """Refuse ``true`` and ``1_0`` for a number; Python would take them for 1 and 10."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError("must be a number")
    return value


_NUMBER = BeforeValidator(_plain_number)


def plain_name(text: str) -> str:
    """Return the text if it can name a folder.

    Raises:
        ValueError: It cannot.
    """
    if not re.fullmatch(r"\w[\w.+=@-]*", text) or len(text) > LONGEST_NAME:
        raise ValueError(
            f"must begin with a letter, digit or _ and hold these and .+=@- only, at most {LONGEST_NAME} of them"
        )
    return text


def _mlflow_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w .+=@()-]*", text) or len(text) > LONGEST_NAME:
        raise ValueError(
            f"must begin with a letter, digit or _ and hold these, spaces and .+=@()- only, at most {LONGEST_NAME} of "
            f"them, since MLflow takes it"
        )
    return text


LONGEST_NAME = 120
"""A folder's name has at most 255 bytes, and some letters have two."""
Name = Annotated[str, AfterValidator(plain_name)]
"""Name of a folder in the storage."""
MlflowName = Annotated[str, AfterValidator(_mlflow_name)]
"""Name of an experiment or of a registered model."""

Seed = Annotated[int, Field(ge=0, le=MOST_SEEDS - 1), _NUMBER]
RowCount = Annotated[int, Field(ge=1, le=10**9), _NUMBER]
"""A number of rows that is cut to the rows that there are."""
ClassNumber = Annotated[int, Field(ge=0, le=10**7, strict=True)]
"""Strict, so that a text stays a name."""
BatchRows = Annotated[int, Field(ge=1, le=10**6), _NUMBER]
"""Rows of one step, which are in memory at once."""
BatchRowsOrNone = Annotated[int, Field(ge=0, le=10**6), _NUMBER]
BankRows = Annotated[int, Field(ge=1, le=10**5), _NUMBER]
"""Rows that are compared with each other or to which forests are fitted."""
Steps = Annotated[int, Field(ge=1, le=10**7), _NUMBER]
StepsOrNone = Annotated[int, Field(ge=0, le=10**7), _NUMBER]
Epochs = Annotated[float, Field(gt=0, le=10**5, allow_inf_nan=False), _NUMBER]
Models = Annotated[int, Field(ge=0, le=1000), _NUMBER]
Times = Annotated[int, Field(ge=1, le=1000), _NUMBER]
"""A small number of repetitions, layers or workers."""
TimesOrNone = Annotated[int, Field(ge=0, le=1000), _NUMBER]
Depth = Annotated[int, Field(ge=1, le=100), _NUMBER]
"""Layers of a model."""
Workers = Annotated[int, Field(ge=1, le=10**4), _NUMBER]
Cpus = Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False), _NUMBER]
Trials = Annotated[int, Field(ge=0, le=10**5), _NUMBER]
Widenings = Annotated[int, Field(ge=0, le=20), _NUMBER]
Budget = Annotated[int, Field(ge=1, le=10**12), _NUMBER]
"""Rows that a run may forward in all."""
Width = Annotated[int, Field(ge=1, le=2**16), _NUMBER]
WidthOrNone = Annotated[int, Field(ge=0, le=2**16), _NUMBER]
Pixels = Annotated[int, Field(ge=1, le=4096), _NUMBER]
"""Side of an image."""
Levels = Annotated[float, Field(gt=0, le=255, allow_inf_nan=False), _NUMBER]
"""A difference of pixels, of 255 levels."""
Rate = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False), _NUMBER]
"""A learning rate."""
Weight = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False), _NUMBER]
"""Weight of a term; 0: left out."""
Positive = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False), _NUMBER]
Points = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), _NUMBER]
Margin = Annotated[float, Field(gt=0, le=3, allow_inf_nan=False), _NUMBER]
"""Of the verdict; a wider one could not tell the original from the oracles."""
Inside = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False), _NUMBER]
"""In (0, 1)."""
UpToOne = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), _NUMBER]
"""In (0, 1]."""
BelowOne = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), _NUMBER]
"""In [0, 1)."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), _NUMBER]
"""In [0, 1]."""
