"""A scorecard by scorecardpy, as its README makes one: from train.csv to scores.csv in a folder."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scorecardpy
from sklearn.linear_model import LogisticRegression

folder = Path(sys.argv[1])
about = json.loads((folder / "about.json").read_text())
text = dict.fromkeys(about["categories"], object)
train, test = (pd.read_csv(folder / f"{name}.csv", dtype=text) for name in ("train", "test"))
bins = scorecardpy.woebin(train, y="bad", special_values=about["special"] or None, print_info=False, no_cores=1)
learnt, asked = (scorecardpy.woebin_ply(rows, bins, print_info=False, no_cores=1) for rows in (train, test))
names = [name for name in learnt if name.endswith("_woe")]
model = LogisticRegression(max_iter=1000).fit(learnt[names].fillna(0), learnt["bad"])
np.savetxt(folder / "scores.csv", model.predict_proba(asked[names].fillna(0))[:, 1])
