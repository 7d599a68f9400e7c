"""A small book as the feature stage leaves it, and rows such as it never held."""

import numpy as np
import pandas as pd

from components.credit.config import Config, Search
from components.credit.dictionary import Feature

DICTIONARY = [
    Feature(
        "late_payments_12m", "number", "Late payments", "Atrasos", "repayments", "late_payments", trend="increasing"
    ),
    Feature("mean_days_late", "number", "Mean days late", "Atraso medio", "repayments", "late_payments"),
    Feature("income", "number", "Income", "Ingreso", "applications", "repayment_capacity", trend="decreasing"),
    Feature("bureau_months", "number", "Months in the bureau", "Meses", "bureau", "short_history", special=[-9.0]),
    Feature("sector", "category", "Sector", "Sector", "borrowers", "business"),
    Feature("shop_score", "number", "Score of the shop", "Puntaje de la tienda", "applications", "attribute"),
    Feature("branch_code", "number", "Code of the branch", "Código", "applications", "attribute"),
]
NAMES = [feature.name for feature in DICTIONARY]
CONFIG = Config(seed=7, search=Search(folds=3, forest_candidates=3, xgboost_candidates=4))
FAMILIES = ("scorecard", "random_forest", "xgboost")


def make_rows(rows: int, seed: int) -> pd.DataFrame:
    """Rows of a feature table: two in three borrowers have one application, decisions span two years."""
    random = np.random.default_rng(seed)
    late = random.poisson(0.4, rows).astype(float)
    peak = np.where(late > 0, random.gamma(2, 10, rows), 0.0)
    income = random.lognormal(7, 0.6, rows)
    months = random.integers(0, 120, rows).astype(float)
    sector = random.choice(
        np.array(["commerce", "transport", "food", "fishing"], dtype=object), rows, p=[0.5, 0.3, 0.19, 0.01]
    )
    shop = random.normal(50, 10, rows)
    thin = random.random(rows) < 0.2
    log_odds = (
        -1.9
        + 0.7 * late
        + 0.02 * peak
        - 0.8 * (np.log(income) - 7)
        - 0.008 * months * ~thin
        + 0.6 * thin
        + 0.5 * (sector == "transport")
        - 0.04 * (shop - 50)
    )
    bad = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    return pd.DataFrame(
        {
            "application_id": [f"a{place:06}" for place in random.permutation(rows)],
            "borrower_id": [f"b{place:06}" for place in random.integers(0, rows * 2, rows)],
            "decided_at": pd.Timestamp("2023-01-01", tz="UTC") + pd.to_timedelta(random.integers(0, 730, rows), "D"),
            "sample": "train",
            "bad": bad,
            "protected_sex": random.choice(["female", "male"], rows),
            "late_payments_12m": late,
            "mean_days_late": peak,
            "income": np.where(random.random(rows) < 0.1, np.nan, income),
            "bureau_months": np.where(thin, -9.0, months),
            "sector": np.where(random.random(rows) < 0.05, None, sector),
            "shop_score": shop,
            "branch_code": 1.0,
        }
    )


def make_odd_rows() -> pd.DataFrame:
    """New rows, and such as no training row was like: missing, never seen, extreme."""
    frame = make_rows(400, 11)[NAMES]
    odd = frame.iloc[:6].copy()
    odd.iloc[0] = [np.nan] * 4 + [None] + [np.nan] * 2
    odd.iloc[1] = [np.inf] * 4 + ["mining"] + [np.inf] * 2
    odd.iloc[2] = [-np.inf] * 4 + ["fishing"] + [-np.inf] * 2
    odd.iloc[3] = [1e300] * 4 + ["commerce"] + [-1e300] * 2
    odd.iloc[4] = [0.0] * 4 + [""] + [0.0] * 2
    odd.iloc[5] = [-9.0] * 4 + ["transport"] + [1e-300] * 2
    return pd.concat([odd, frame.iloc[6:]], ignore_index=True)
