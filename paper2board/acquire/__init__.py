"""Verified raw data, splits and the calibration set."""
