"""Embedded cohorts: simulated patients, drawn and written as DICOM files."""
