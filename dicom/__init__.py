"""Knows DICOM attributes; no network, no torch, no SQL."""
