"""When to stop and what to keep: equations 8 and 9 of the paper, judged on the stop set.

Three guards: an interval or no hit at all (class), ``patience`` checks in a row, and kept accuracy on retain rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cu_core.bounds import Points, Steps, StepsOrNone
from cu_core.checkpoint import Weights, copy_weights
from cu_core.data.forget_split import ForgetSplit, RowSet
from cu_core.errors import UserError
from cu_core.metrics.accuracy import wilson_interval
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.sharding import gathered
from cu_core.types import RequestKind
from cu_core.unlearn.evaluate import shared_accuracy, shared_recall


@dataclass(frozen=True, kw_only=True)
class StopConfig:
    """Length of a run."""

    rule: Literal["paper", "none"] = "paper"
    """``none``: all ``max_steps`` are taken. ``paper``, for a class (eq. 8): the accuracy on unseen rows of each
    forgotten class is at most 1/C; the upper end of its 95% interval must not exceed 1/C, or no row may be right.
    ``paper``, for samples (eq. 9): the accuracy on forget rows is at most the accuracy on unseen rows; for pairs, the
    accuracy is the part of the images that find their caption."""
    max_steps: Steps = 100
    """Largest number of steps."""
    check_every: Steps = 8
    """Steps between two checks of the rule."""
    further_steps: StepsOrNone = 16
    """Steps taken after the rule holds. A class that is stopped at once comes back within a few training steps."""
    patience: Steps = 2
    """Checks in a row at which the rule must hold, with the utility kept, before it counts as fulfilled."""
    utility_points: Points = 5.0
    """A state counts only if its accuracy on unseen retain rows fell by at most this many points."""

    def __post_init__(self) -> None:
        if min(self.max_steps, self.check_every, self.patience) < 1 or min(self.further_steps, self.utility_points) < 0:
            raise UserError(
                "max_steps, check_every and patience must be at least 1, further_steps and utility_points not negative"
            )


@dataclass(frozen=True)
class StopCheck:
    """One check on the stop set; accuracies in 0..1, with the 95% interval of ``forget``."""

    step: int
    forget: float
    """If several classes are forgotten: of the class with the highest accuracy."""
    forget_low: float
    forget_high: float
    target: float
    utility: float
    holds: bool
    """Class: every class is at most ``target``, its interval included; samples: ``forget`` <= ``target``."""


@dataclass
class StopState:
    """State of the stop rule; part of every checkpoint."""

    baseline_utility: float | None = None
    streak: int = 0
    fired_at: int | None = None
    kept_step: int | None = None
    kept_holds: bool = False
    """Whether the kept state satisfies the rule too, not the utility guard alone."""
    kept_distance: float | None = None
    rows: int = 0
    """Rows that checks evaluated."""
    history: list[dict[str, float]] = field(default_factory=list)


class Stopper:
    """Checks the stop rule and keeps the weights of the best state.

    That is the last state (samples: the one nearest to the target) that satisfies the rule and the guard of utility.
    Until there is one, it is the state nearest to the target that satisfies the guard alone.
    """

    def __init__(self, config: StopConfig, split: ForgetSplit):
        self.config, self.split = config, split
        self.kind: RequestKind = split.forget.kind
        self.state = StopState()
        self.kept: Weights | None = None

    def due(self, step: int, max_steps: int) -> bool:
        """Return whether the rule is checked after this step."""
        return self.config.rule != "none" and (step % self.config.check_every == 0 or step == max_steps)

    def look(self, model: Classifier, step: int) -> StopCheck:
        """Evaluate the model on the stop set.

        Raises:
            UserError: The stop set is empty.
        """
        unseen_correct, unseen_count = self._score(model, self.split.stop_retain)
        parts = [self._score(model, rows) for rows in self._forget_parts()]
        if not unseen_count or not all(count for _, count in parts):
            raise UserError(
                "the stop set is empty: the val split has no row of a forgotten class (or none of the "
                "others); pack the data with a larger --val-frac, or set stop.rule=none."
            )
        self.state.rows += unseen_count + sum(count for _, count in parts)
        utility = unseen_correct / unseen_count
        correct, count = max(parts, key=lambda part: part[0] / part[1])
        low, high = wilson_interval(correct, count)
        if self.kind == "class":
            target = 1 / self.split.reader.manifest.num_classes
            holds = all(c == 0 or wilson_interval(c, n)[1] <= target for c, n in parts)
        else:
            target, holds = utility, correct / count <= utility
        return StopCheck(step, correct / count, low, high, target, utility, holds)

    def _forget_parts(self) -> list[RowSet]:
        """Return the rows that decide: unseen rows of each forgotten class, or half of a sample request's rows."""
        if self.kind == "sample":
            return [self.split.forget_stop]
        rows = self.split.stop_forget
        labels = self.split.reader.labels(rows.split, rows.rows)
        return [RowSet(rows.split, rows.rows[labels == c]) for c in self.split.forget.classes]

    def _score(self, model: Classifier, rows: RowSet) -> tuple[int, int]:
        """Return (hits, count).

        Pairs of a sample request search among the captions of both parts of the stop set, since the difficulty of a
        search depends on what can be found.
        """
        if self.kind == "class" or not isinstance(model, ImageTextClassifier):
            return shared_accuracy(model, self.split.reader, rows)
        return shared_recall(model, self.split.reader, rows, [self.split.forget_stop, self.split.stop_retain])

    def judge(self, model: Classifier, step: int) -> StopCheck:
        """Check, update the rule's state, and keep the weights if they satisfy it."""
        with gathered(model):
            check = self.look(model, step)
        state = self.state
        if state.baseline_utility is None:
            state.baseline_utility = check.utility
        state.history.append(asdict(check))
        useful = check.utility >= state.baseline_utility - self.config.utility_points / 100
        # A model that knows nothing of the forget rows because it knows nothing at all has not unlearned.
        state.streak = state.streak + 1 if check.holds and useful else 0
        if state.streak >= self.config.patience and state.fired_at is None:
            state.fired_at = step
        if useful and step > 0:
            self._keep(model, check)
        return check

    def _keep(self, model: Classifier, check: StopCheck) -> None:
        state = self.state
        holds = check.holds and state.fired_at is not None
        above = check.forget - check.target
        distance = max(above, 0.0) if self.kind == "class" else abs(above)
        nearer = state.kept_distance is None or distance <= state.kept_distance
        if (holds and not state.kept_holds) or (holds == state.kept_holds and nearer):
            state.kept_step, state.kept_holds, state.kept_distance = check.step, holds, distance
            self.kept = copy_weights(model.state_dict())

    def finished(self, step: int) -> bool:
        """Return whether the rule has fired and the further steps are done."""
        fired = self.state.fired_at
        return fired is not None and step >= fired + self.config.further_steps

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return asdict(self.state)

    def load_state_dict(self, state: dict[str, Any], kept: Weights | None) -> None:
        """Restore the state and the kept weights."""
        self.state, self.kept = StopState(**state), kept
