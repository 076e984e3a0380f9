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
    COPY_SAMPLE = 58
    """Rows on which it is measured how alike different rows are."""
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
    MEASURED_FORGET = 103
    """Forget rows on which figures are measured, if there are too many for all."""
    UNSEEN_ROWS = 104
    """Rows of val that are used, if there are too many for all and the data has many classes."""
    TEST_ROWS = 202
    REBOUND_ORDER = 303
    RELEARN_ORDER = 404
    RELEARN_CLASSES = 405
    """Classes from which an image-text model of many classes chooses."""
    UNTRAINED_MODEL = 500
    """Of a method that needs one."""
    CAPTION = 505
    """The template that becomes a row's caption."""
    BANK_ROWS = 606
    """Retain rows from which targets are made."""
    UNTRAINED_FIGURES = 700
    """Untrained model beside which features are judged."""
    NOISE = 801
    """Forget rows that are perturbed, and the perturbations."""
    VIEW = 802
    """Random views of images."""
    AUDIT_VIEWS = 803
    """Rows, and views of them, by which an encoder is audited."""
    PROMPT_SEARCH = 804
    """Halves of the images for which a text is searched, and the search."""
    ORACLE = 1000
    """Times the number of an oracle."""
