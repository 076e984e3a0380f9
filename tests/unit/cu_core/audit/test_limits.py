from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from cu_core.audit.limits import Limits
from cu_core.data.requests import load_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.files import write_text
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.run_audit import LIMITS, limits_file, run_audit
from tests.conftest import small


def test_the_detection_limit_is_the_smallest_amount_from_which_on_all_are_told() -> None:
    def detected(**told: int) -> float | None:
        return Limits(5, 0.05, (0, 9), {float(k[1:]): (v, 10) for k, v in told.items()}, {}, {}).detected

    assert detected(p1=0, p10=8, p25=10) == 10
    assert detected(p1=9, p10=7, p25=10) == 25
    assert detected(p1=9, p10=10, p25=7) is None


def test_a_report_states_the_limits_that_were_measured_for_such_requests(
    digits: Path, reader: ShardReader, class_request: Path, sample_request: Path, tmp_path: Path
) -> None:
    quick = {"oracles": 0, "audits": ["accuracy", "membership"], "max_rows": 60}
    config = small(digits, tmp_path, train={"epochs": 0.1}, stop={"max_steps": 1, "rule": "none"}, audit=quick)
    folders = {"original": tmp_path / "original", "unlearned": tmp_path / "unlearned"}
    run_train(config, folders["original"], Hooks())
    run_unlearn(config, folders["original"], class_request, folders["unlearned"], Hooks())

    def stated() -> Limits | None:
        report, _ = run_audit(config, class_request, folders, [], torch.device("cpu"), samples=False)
        return report.limits

    assert stated() is None
    limits = Limits(5, 0.05, (1, 40), {2.0: (7, 10), 10.0: (9, 10)}, {25.0: (3, 10)}, {})
    one, other = (load_forget_set(request, reader.manifest.digest) for request in (class_request, sample_request))
    write_text(limits_file(config, one, 5), LIMITS.dump_json(limits).decode())
    assert stated() is None  # this verdict is made by no oracle, not by five
    write_text(limits_file(replace(config, seed=3), one, 0), LIMITS.dump_json(limits).decode())  # whatever the seed
    assert stated() == limits
    assert not limits_file(config, other, 0).exists()
