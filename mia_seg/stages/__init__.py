"""Stages: the steps of an audit."""
