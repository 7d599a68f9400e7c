"""The page of a monitoring run, as Markdown."""

from components.monitor.findings import Findings

_SHOWN = 15
_NAMES = {
    "auc": "AUC",
    "bad_rate": "bad rate",
    "bad_rate_approved": "bad rate of the approved",
    "approval_rate": "approval rate",
    "precision": "precision",
    "recall": "recall",
    "rows": "applications",
    "bads": "bads",
    "auc_low": "AUC, low end",
    "auc_high": "AUC, high end",
    "brier": "Brier score",
    "predicted_bad_rate": "predicted bad rate",
    "understated_p": "p-value that risk is not understated",
    "accuracy": "accuracy",
    "f1": "F1",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}


def page(found: Findings) -> str:
    """What was found, for people: drift first."""
    lines = [
        f"# Monitoring as of {found.as_of}",
        "",
        f"Champion `{found.model}`; {found.rows:,} applications since {found.since}.",
        "",
        *([f"- **Drift.** {sentence}" for sentence in found.drift] or ["No limit was passed."]),
        "",
    ]
    if found.psi is not None:
        lines += [
            f"PSI of the points against training: **{found.psi:.3f}**, {found.verdict} (chance alone reaches "
            f"{found.critical:.3f} with so many rows).",
            "",
            "| Feature | CSI | by chance | |",
            "|---|---:|---:|---|",
            *(
                f"| {each.name} | {each.csi:.3f} | {each.critical:.3f} | {each.verdict} |"
                for each in found.features[:_SHOWN]
            ),
            "",
        ]
    else:
        lines += ["The stability cannot be told: no recent application, or a model of before it was kept.", ""]
    lines += _table("Expected of recent applications, before labels (CBPE)", found.expected)
    lines += _table("Outcomes that came to be known since the training", found.matured)
    return "\n".join(lines)


def figures(found: Findings) -> dict[str, float]:
    """What the run's page shows at a glance."""
    shown = {"rows": float(found.rows), "shifted_features": float(sum(each.shifted for each in found.features))}
    if found.psi is not None and found.critical is not None:
        shown |= {"psi": found.psi, "psi_critical": found.critical}
    shown |= {f"expected_{name}": value for name, value in found.expected.items()}
    return shown | {f"matured_{name}": value for name, value in found.matured.items()}


def _table(title: str, values: dict[str, float]) -> list[str]:
    if not values:
        return [f"{title}: none.", ""]
    rows = [
        f"| {_NAMES[name]} | {value:,.0f} |"
        if value > 1.5 and value == int(value)
        else f"| {_NAMES[name]} | {value:.4f} |"
        for name, value in values.items()
    ]
    return [f"| {title} | |", "|---|---:|", *rows, ""]
