from __future__ import annotations

import subprocess
import sys


def test_a_worker_imports_no_tracker_and_no_adapters() -> None:
    """Every Ray task pays for what its module imports."""
    code = "import sys, pipelines.run.training, pipelines.run.auditing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"mlflow", "pandas", "peft", "transformers", "matplotlib"} & {*done.stdout.split()}
