"""A scorecard by skorecard with its own defaults: from train.csv to scores.csv in a folder."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from skorecard import Skorecard

folder = Path(sys.argv[1])
about = json.loads((folder / "about.json").read_text())
text = dict.fromkeys(about["categories"], object)
train, test = (pd.read_csv(folder / f"{name}.csv", dtype=text) for name in ("train", "test"))
names = [name for name in train if name != "bad"]
card = Skorecard(verbose=0).fit(train[names], train["bad"])
np.savetxt(folder / "scores.csv", card.predict_proba(test[names])[:, 1])
