"""Tables in the terminal."""

from __future__ import annotations

from rich.table import Table

from cu_core.audit.report import AuditReport


def limits_line(report: AuditReport) -> str:
    """Describe the limits of the verdict, if they were measured for such requests on this data."""
    limits = report.limits
    if limits is None:
        return "The limit of this verdict was not measured on this data; cu calibrate measures it."
    told, count = limits.false_alarms
    alarms = f"false alarms with {limits.oracles} oracles: {told} of {count} judgements"
    if not limits.left:
        return f"The detection limit was not measured on this data; cu calibrate --left measures it; {alarms}."
    tried = ", ".join(f"{percent:g}" for percent in sorted(limits.left))
    found = f"none of {tried}%" if limits.detected is None else f"{limits.detected:g}%"
    return f"Detection limit: {found} of the forget rows left in training is found in 80% of judgements; {alarms}."


def end_table(report: AuditReport) -> Table:
    """Make a table of the original, the unlearned model and the oracle."""
    table = Table(title=f"verdict: {report.verdict.word} ({report.verdict.reason})", title_justify="left")
    for heading in ("metric", "original", "unlearned", "oracle", "difference", "±"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for row in report.rows:
        oracle = f"{sum(row.oracles) / len(row.oracles):.1f}" if row.oracles else "none"
        off = "!" if row.name in report.verdict.outside else ""
        shown = f"{row.difference:+.1f}{off}" if row.difference is not None else ""
        tolerance = f"{row.tolerance:.1f}" if row.tolerance is not None else ""
        table.add_row(row.title, f"{row.original:.1f}", f"{row.unlearned:.1f}", oracle, shown, tolerance)
    if any(row.tolerance is not None for row in report.rows):
        legend = "±: tolerance around the mean of the oracles; empty: not judged; !: outside the tolerance"
        table.caption = f"{legend}. {limits_line(report)}"
    if report.cost["steps"]:  # otherwise the making of the model is not recorded
        _add_cost(table, report)
    return table


def _add_cost(table: Table, report: AuditReport) -> None:
    cost = report.cost
    own = cost["forget_rows"] + cost["retain_rows"]
    table.add_section()
    table.add_row(
        "training rows read",
        "",
        f"{own:.0f}",
        f"{cost.get('retrain_rows', 0):.0f}" if report.gap else "none",
        f"{100 * cost['rows_frac']:.1f}%" if report.gap else "",
    )
    frozen = cost["frozen_rows"] + cost["prepare_rows"]
    if frozen:
        table.add_row("rows through frozen models", "", f"{frozen:.0f}", "", "")
    table.add_row("stop-check rows read", "", f"{cost['stop_rows']:.0f}", "", "")
    table.add_row(
        "seconds", "", f"{cost['seconds']:.1f}", f"{cost.get('retrain_seconds', 0):.1f}" if report.gap else "none", ""
    )
    table.add_row("forget rows in the retain stream", "", f"{report.leaks}", "", "")
    if report.gap and report.doing_nothing_gap:
        table.add_row(
            "mean gap to the oracle",
            f"{report.doing_nothing_gap.mean:.2f}",
            f"{report.gap.mean:.2f}",
            "0.00",
            "",
        )
