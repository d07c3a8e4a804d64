"""Metrics: numbers from answers and scores. `segmentation` measures the model's quality, `membership` the leak.

Both return plain numbers with intervals. Tables and figures are in `mia_seg.report`.
"""
