from __future__ import annotations

from cu_core.audit.explain import explain
from cu_core.audit.explain_probes import PROBES
from cu_core.audit.table import METRICS


def test_probes_describe_and_say_so() -> None:
    for name, told in PROBES.items():
        assert METRICS[name].judged == ()
        assert told.pitfalls.endswith("Not judged.")
        assert told.definition in explain(name)
