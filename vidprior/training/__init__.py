"""Fitting a network to a clip: windows, losses, the train step, optimizers, checkpoints."""
