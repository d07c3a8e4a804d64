"""Verdicts for machines: is a deployed model's leak below a limit, and do two audits differ by more than noise?"""
