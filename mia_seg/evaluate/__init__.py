"""Evaluation of an attack: metrics of its scores and the victim's membership, controls, and result files."""
