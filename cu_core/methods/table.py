"""All methods, by name. A new one is a file, a line here and a mirrored test."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator

from cu_core.methods.bad_teacher import BadTeacher
from cu_core.methods.base import Method
from cu_core.methods.boundary_expanding import BoundaryExpanding
from cu_core.methods.boundary_shrink import BoundaryShrink
from cu_core.methods.contrastive import Contrastive
from cu_core.methods.contrastive_clip import ContrastiveClip
from cu_core.methods.fanchuan import Fanchuan
from cu_core.methods.finetune import FineTune
from cu_core.methods.gradient_ascent import GradientAscent
from cu_core.methods.impostor import Impostor
from cu_core.methods.l1_sparse import L1Sparse
from cu_core.methods.logit_mask import LogitMask
from cu_core.methods.neggrad_plus import NegGradPlus
from cu_core.methods.null_space import NullSpace
from cu_core.methods.random_label import RandomLabel
from cu_core.methods.retrain import Retrain
from cu_core.methods.salun import SalUn
from cu_core.methods.scrub import Scrub
from cu_core.methods.ssd import SSD
from cu_core.methods.unsir import Unsir

METHODS: dict[str, type[Method]] = {
    "contrastive": Contrastive,
    "contrastive_clip": ContrastiveClip,
    "finetune": FineTune,
    "retrain": Retrain,
    "gradient_ascent": GradientAscent,
    "neggrad_plus": NegGradPlus,
    "random_label": RandomLabel,
    "salun": SalUn,
    "scrub": Scrub,
    "bad_teacher": BadTeacher,
    "boundary_shrink": BoundaryShrink,
    "boundary_expanding": BoundaryExpanding,
    "l1_sparse": L1Sparse,
    "unsir": Unsir,
    "fanchuan": Fanchuan,
    "ssd": SSD,
    "logit_mask": LogitMask,
    "null_space": NullSpace,
    "impostor": Impostor,
}

if TYPE_CHECKING:
    MethodConfig = Method
else:  # the union of the table's classes, told apart by name
    MethodConfig = Annotated[reduce(or_, METHODS.values()), Discriminator("name")]
