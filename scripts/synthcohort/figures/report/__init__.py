"""report.html: one page without network that says what was measured."""

from synthcohort.figures.report.builder import build_report
from synthcohort.figures.report.facts import read_benchmarks
from synthcohort.figures.report.inputs import CohortInputs, ReportInputs

__all__ = ["CohortInputs", "ReportInputs", "build_report", "read_benchmarks"]
