"""Metrics: numbers from answers and scores. `segmentation` measures the model's quality, `membership` the leak.

All modules here return plain numbers with intervals. Tables and figures are in `mia_seg.report`.
"""
