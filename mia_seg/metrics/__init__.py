"""Metrics: numbers from answers and scores. `segmentation` says what a model is worth, `membership` what it leaks.

Both return plain numbers with intervals; tables and figures are the report's.
"""
