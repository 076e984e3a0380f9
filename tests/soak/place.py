"""What the soaks of kills and of full disks run: small data, every long command, one storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.soak.forked import finish

TINY = {
    "model": {"name": "resnet10", "width": 8},
    "request": {"kind": "by_class", "classes": [5]},
    "train": {"epochs": 1, "batch": 64, "optimizer": {"lr": 0.05}},
    "stop": {"rule": "none", "max_steps": 10},
    "workers": {"checkpoint_every": 2},
    "audit": {"oracles": 0, "audits": ["accuracy", "membership"]},
}
COMPARISON = {
    "seeds": [0],
    "budget_rows": 600,
    "set": {"audit": {"oracles": 1}},
    "requests": {"class": [{"kind": "by_class", "classes": [5]}]},
    "methods": {"contrastive": {"set": {"preset": "paper"}, "published": True}, "logit_mask": {}},
}
SWEEP = {
    "tuning": {"seed": 9, "request": {"kind": "by_class", "classes": [7]}},
    "reported": {"seeds": [0]},
    "space": {"optimizer.lr": {"choice": [0.001, 0.05]}},
    "algorithm": "grid",
    "set": {"audit": {"oracles": 1}},
}
MODEL = "faces"


@dataclass(frozen=True)
class Place:
    """One storage, and what is run in it by ``a`` and ``b`` at once."""

    folder: Path
    data: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def write_files(self) -> None:
        self.folder.mkdir(exist_ok=True)
        base = TINY | {"data": {"path": str(self.data)}, "storage": str(self.store)}
        (self.folder / "run.yaml").write_text(yaml.safe_dump(base))
        for who in ("a", "b"):
            for name, study in (("compare", COMPARISON), ("sweep", SWEEP)):
                (self.folder / f"{name}-{who}.yaml").write_text(yaml.safe_dump({"base": "run.yaml", **study}))

    def words(self, command: str, who: str) -> list[str]:
        config = str(self.folder / "run.yaml")
        return {
            "pack": ["data", "pack", "digits", str(self.folder / "out")],  # both into one folder: one of them wins
            "train": ["train", config, "--local"],
            "unlearn": ["unlearn", config, f"name={who}", "--local"],
            "audit": ["audit", "made", f"storage={self.store}", "--local", "--out", str(self.folder / f"audit-{who}")],
            "compare": ["compare", str(self.folder / f"compare-{who}.yaml")],
            "sweep": ["sweep", str(self.folder / f"sweep-{who}.yaml")],
            "requests": ["requests", "run", "--local", "--storage", str(self.store)],  # both answer the same request
        }[command]

    def result(self, command: str, who: str) -> Path:
        """A file that is there when the command has ended well."""
        study = f"{command}-{who}"
        return {
            "pack": self.folder / "out" / "manifest.json",
            "train": self.folder / "never",  # a second training finds the first one's model
            "unlearn": self.store / "runs" / who / "result.json",
            "audit": self.folder / f"audit-{who}" / "audit.json",
            "compare": self.store / "compare" / study / "report.html",
            "sweep": self.store / "sweeps" / study / "winner.yaml",
            "requests": self.store / "ledgers" / MODEL / "00000004.json",  # opened, received, started, answered
        }[command]

    def ask(self) -> None:
        """Open the ledger of a model, and enter a request."""
        self.end(["requests", "open", MODEL, str(self.folder / "run.yaml")])
        self.end(["requests", "add", MODEL, "--class", "5", "--storage", str(self.store)])

    def end(self, words: list[str], but: str = "") -> None:
        """Run it to its end. ``but``: what it may say in place of success."""
        done = finish(words, self.folder / "log")
        assert done.status == 0 or (done.status == 2 and but and but in done.said()), f"{words}\n{done.said()}"
        assert "Traceback" not in done.said(), done.said()
