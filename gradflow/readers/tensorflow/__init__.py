"""Checkpoints of TensorFlow: ``.index`` and ``.data``, alone or in a SavedModel."""
