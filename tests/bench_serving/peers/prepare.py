"""`python prepare.py CORES.npz MODEL.joblib`: fits scikit-learn's tree and pickles it, in the peer's environment."""

import sys

import joblib
import numpy as np
from nearest import NearestCore

if __name__ == "__main__":
    with np.load(sys.argv[1]) as arrays:
        model = NearestCore(arrays["cores"], arrays["labels"], float(arrays["eps"]))
    joblib.dump(model, sys.argv[2])
