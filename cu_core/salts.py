"""Salts that separate random draws of one seed. The values must not change: results depend on them."""

from __future__ import annotations

from enum import IntEnum


class Salt(IntEnum):
    """Numbers that are added to a seed, or given to a keyed hash besides the seed."""

    FORGET_ORDER = 1
    """Order of forget rows, beside that of retain rows (no salt)."""
    SSD_FORGET_ROWS = 7
    SSD_RETAIN_ROWS = 8
    COSINE_ROWS = 9
    """Forget rows whose mean cosine is kept."""
    UNLEARN_ORDER = 17
    RANDOM_LABEL = 31
    RANDOM_CAPTION = 32
    """The row whose caption takes the place of a forget row's."""
    SCORE_HALF = 51
    """Half of the training rows that a model of memorisation scores is trained on."""
    RETAIN_SHARDS = 55
    """Shards from which retain rows are drawn."""
    LEFT_IN_ROWS = 61
    LOST_ROWS = 62
    WEIGHT_NOISE = 63
    """Of models that a calibration makes."""
    MEASURED_SHARDS = 66
    """Shards that are opened for the retain figures of the audit."""
    FORGET_HALF = 77
    """Half of a sample request's rows on which the stop rule decides."""
    DATA_HALF = 93
    """Half of the training rows of a model of a strong audit."""
    MEASURED_ROWS = 101
    TEST_ROWS = 202
    REBOUND_ORDER = 303
    RELEARN_ORDER = 404
    UNTRAINED_MODEL = 500
    """Of a method that needs one."""
    CAPTION = 505
    """The template that becomes a row's caption."""
    BANK_ROWS = 606
    """Retain rows from which targets are made."""
    UNTRAINED_FIGURES = 700
    """Untrained model beside which features are judged."""
    ORACLE = 1000
    """Times the number of an oracle."""
