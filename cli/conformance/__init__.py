"""The DICOM Conformance Statement, written from the code's own tables."""
