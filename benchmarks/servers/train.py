"""Trains the digits model with whichever scikit-learn runs this: python train.py FILE.joblib."""

import sys

import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

pictures, values = load_digits(return_X_y=True)
seen, _, known, _ = train_test_split(pictures, values, test_size=0.2, stratify=values, random_state=0)
joblib.dump(LogisticRegression(C=0.01, max_iter=2000).fit(seen, known), sys.argv[1])
