"""Words that the analysis writes and figures read; nothing is imported, so that drawing a figure loads little."""

ALL = "all"
"""In place of a cohort, a family or a level that a row is not restricted to."""
AXIS = "resolution"
PROFESSIONS = {
    "radiologist": "Radiologist",
    "radiology_resident": "Resident in radiology",
    "other_physician": "Other physician",
    "radiographer": "Radiographer",
    "medical_student": "Medical student",
    "other": "Other",
}
THRESHOLDS = (-4, -3, -2, -1, 1, 2, 3, 4, 5)
"""Scores from which on an image counts as called synthetic: the points of an ROC curve."""
