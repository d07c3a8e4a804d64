"""Evaluation of an attack: metrics of its scores and the victim's memberships, controls, and result files."""
