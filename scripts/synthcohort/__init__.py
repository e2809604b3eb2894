"""SynthCohort: fully synthetic DICOM cohorts, and what sharing them instead of patients costs."""

__version__ = "0.1.0"
