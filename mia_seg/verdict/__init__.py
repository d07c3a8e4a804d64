"""Verdicts that a machine acts on: is what is deployed below a limit, and do two audits differ by more than noise."""
