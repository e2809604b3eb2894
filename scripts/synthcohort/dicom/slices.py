"""Thinning of CT series: neighbouring slices show nearly the same."""

from collections import defaultdict

from synthcohort.dicom.header import Header


def left_out(images: list[tuple[str, Header]], step: int) -> set[str]:
    """Choose the slices that are left out where of each series only every `step`-th stays.

    Parameters
    ----------
    images : list of tuple
        Path and header of each usable slice.
    step : int
        1 leaves out none.

    Returns
    -------
    set of str
        Paths. Slices are counted in the order of their positions along z (then y and x), and by path where the files do
        not say it; the first of each series stays.
    """
    series: dict[tuple[str, ...], list[tuple[tuple[float, ...], str]]] = defaultdict(list)
    for path, header in images:
        series[(header.patient_id, header.study_uid, header.series_uid)].append((header.position, path))
    return {path for slices in series.values() for number, (_, path) in enumerate(sorted(slices)) if number % step}
