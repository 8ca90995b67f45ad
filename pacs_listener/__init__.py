"""DICOM bytes to spool, row and queue. Never decodes a pixel, needs no torch."""
