"""Arrays in, records out; no DICOM, no queue, no SQL."""
