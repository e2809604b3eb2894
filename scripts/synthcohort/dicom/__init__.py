"""DICOM in and out: read, check, render to units, index, pseudonymise, write."""
