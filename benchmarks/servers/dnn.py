"""Saves the network of TFaaS's published figures, with chance weights: python dnn.py FILE.keras."""

import sys

import keras

WIDTHS = (128, 128, 128, 64, 64, 1, 1)

keras.utils.set_random_seed(0)
layers = [keras.layers.Dense(width, activation="relu") for width in WIDTHS[:-1]]
last = keras.layers.Dense(WIDTHS[-1], activation="sigmoid")
keras.Sequential([keras.Input((42,), name="input"), *layers, last]).save(sys.argv[1])
