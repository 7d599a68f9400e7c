"""A scorecard by optbinning, as its tutorials make one: from train.csv to scores.csv in a folder."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from optbinning import BinningProcess, Scorecard
from sklearn.linear_model import LogisticRegression

folder = Path(sys.argv[1])
about = json.loads((folder / "about.json").read_text())
text = dict.fromkeys(about["categories"], object)
train, test = (pd.read_csv(folder / f"{name}.csv", dtype=text) for name in ("train", "test"))
names = [name for name in train if name != "bad"]
codes = sorted({code for found in about["special"].values() for code in found})
binning = BinningProcess(names, categorical_variables=about["categories"], special_codes=codes or None)
card = Scorecard(binning_process=binning, estimator=LogisticRegression(max_iter=1000))
card.fit(train[names], train["bad"].to_numpy())
np.savetxt(folder / "scores.csv", card.predict_proba(test[names])[:, 1])
