"""Oracles: what a user of a deployed model has. An image goes in, posteriors come out."""
