"""Whether classifiers trained on synthetic images look where the real-trained one looks, and at the lesions."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.attribution import METHODS, Maps, attribution_maps
from synthcohort.audit.utility import REAL, combine_metrics
from synthcohort.classify.networks import Network
from synthcohort.cohort.labels import NO_FINDING
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.store import Images, ImageStore
from synthcohort.measures.attribution import mask_overlap, rank_correlations
from synthcohort.measures.bootstrap import patient_weights, percentile_interval

UNTRAINED = "untrained"
"""Key of the maps of a network that has learnt nothing (see `attribution.untrained`)."""

Arrays = dict[str, NDArray[Any]]
Row = dict[str, Any]


def choose_images(
    real: ImageStore, selection: pd.DataFrame, seed: int, findings: int = 3, per_finding: int = 40
) -> pd.DataFrame:
    """Choose real test images that have one of the most frequent findings.

    Parameters
    ----------
    real : ImageStore
        The cohort.
    selection : pandas.DataFrame
        The experiment's rows of `real`: ``row``, ``patient_id``, ``side`` (train, valid or test).
    seed : int
        Chooses among images with a finding; no patient is taken twice before every other was taken once.
    findings : int
        Findings at most: those that most training images have, ``no_finding`` not among them.
    per_finding : int
        Images of each at most.

    Returns
    -------
    pandas.DataFrame
        ``row``, ``patient_id`` and ``finding``: the images of a finding together, in the order of the choice, so that
        the first of them are a choice by chance, too. An image may be there for several findings.

    Raises
    ------
    UserError
        When no finding was trained on and is among the test images.
    """
    rng = np.random.default_rng(seed)
    names = [name for name in real.info.finding_names if name != NO_FINDING]
    positive = real.records[names].iloc[selection["row"]].set_axis(selection.index) == 1
    test = selection["side"] == "test"
    trained = positive[selection["side"] == "train"].sum()
    able = [name for name in names if trained[name] and positive.loc[test, name].any()]
    if not able:
        raise UserError("no finding has both training and test images, so there is nothing to attribute; use more.")
    taken: Counter[str] = Counter()
    chosen = []
    for name in sorted(able, key=lambda name: -trained[name])[:findings]:
        candidates = selection.loc[test & positive[name], ["row", "patient_id"]].sample(frac=1, random_state=rng)
        turn = candidates.groupby("patient_id").cumcount() + candidates["patient_id"].map(taken)
        first = candidates.loc[turn.sort_values(kind="stable").index[:per_finding]]
        taken.update(first["patient_id"])
        chosen.append(first.assign(finding=name))
    return pd.concat(chosen, ignore_index=True)


def map_chosen(network: Network, real: ImageStore, chosen: pd.DataFrame) -> Maps:
    """Attribute every chosen image for its finding by every method.

    Returns
    -------
    numpy.ndarray
        float32 ``[methods, n, H, W]``, methods as in `METHODS`, images as in `chosen`.
    """
    maps = [
        np.stack([attribution_maps(network, images, network.findings.index(name), method) for method in METHODS])
        for name, images in _by_finding(real, chosen)
    ]
    return np.concatenate(maps, axis=1)


def chosen_masks(real: ImageStore, chosen: pd.DataFrame) -> Images | None:
    """Lesion masks of the chosen images for their findings, uint8 ``[n, H, W]``; None where the cohort has none.

    Raises
    ------
    UserError
        When the file of masks does not match its digest.
    """
    path = real.folder / "masks.npy"
    if path.name not in real.info.digests:
        return None
    real.info.verify(real.folder, path.name)  # unlike the other files it is no input of any rule
    masks, names = np.load(path, mmap_mode="r"), real.info.finding_names
    return np.stack([masks[row, names.index(name)] for row, name in zip(chosen["row"], chosen["finding"], strict=True)])


def attribution_gallery(
    real: ImageStore, chosen: pd.DataFrame, maps: Mapping[str, Maps], per_finding: int = 2
) -> Arrays:
    """Put some of the chosen images beside their maps.

    Parameters
    ----------
    real, chosen
        The cohort, and what `choose_images` gave.
    maps : mapping of source to numpy.ndarray
        What `map_chosen` gave for each source's classifier; `UNTRAINED` is left out.
    per_finding : int
        Images of each finding at most, the first of the choice.

    Returns
    -------
    dict of numpy.ndarray
        ``images`` uint8 ``[K, C, H, W]``; ``findings`` ``[K]``, the display name of what each image is explained for;
        ``sources`` ``[S]``, real first; ``methods`` ``[M]``; ``maps`` float32 ``[S, M, K, H, W]``; where the cohort has
        masks, ``masks`` uint8 ``[K, H, W]``. No identifiers.
    """
    display = {finding.name: finding.display for finding in real.info.findings}
    shown = np.flatnonzero(chosen.groupby("finding").cumcount() < per_finding)
    sources = _sources(maps)
    arrays: Arrays = {
        "images": np.stack([real.images[row] for row in chosen["row"].iloc[shown]]),
        "findings": np.array([display[name] for name in chosen["finding"].iloc[shown]]),
        "sources": np.array(sources),
        "methods": np.array(list(METHODS)),
        "maps": np.stack([maps[source][:, shown] for source in sources]),
    }
    masks = chosen_masks(real, chosen.iloc[shown])
    return arrays if masks is None else arrays | {"masks": masks}


def attribution_metrics(
    keys: Mapping[str, str],
    chosen: pd.DataFrame,
    maps: Mapping[str, Maps],
    masks: Images | None,
    statistics: Statistics,
    seed: int,
    simulated: bool,
) -> pd.DataFrame:
    """Compare maps with those of the real-trained classifier, and with lesion masks.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level`` and ``replicate``.
    chosen : pandas.DataFrame
        What `choose_images` gave.
    maps : mapping of source to numpy.ndarray
        What `map_chosen` gave for each source's classifier, `REAL` and `UNTRAINED` among them.
    masks : numpy.ndarray or None
        What `chosen_masks` gave.
    statistics : Statistics
        Resamples and level of the intervals.
    seed : int
        Seed of the resamples.
    simulated : bool
        Whether the test patients are simulated.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet, for every chosen finding and their ``mean``; ``parameter`` is the method.

        ``attribution_agreement``: mean over images of the rank correlation of a source's map with the real-trained
        classifier's (see `rank_correlations`), so there is no value of the source real.
        ``attribution_overlap``: mean over images of `mask_overlap`, of every source, where there are masks; of Grad-CAM
        what is positive counts, as in the original, of the two other methods any change. Chance is
        0.5, but lesions lie in the body and are often brighter than it, so that even the image itself has more: read
        it against its controls.

        Roles of both: ``value``; ``negative_control``, the same with the source's map of another patient's image of the
        same finding in place of its own, so it shows what is due to where findings lie in general; ``floor`` (under the
        source real), the same with the map of an untrained network, so it shows what is due to the image alone.

        Images whose number is undefined (a map that is the same everywhere has no agreement; a lesion that covers no
        pixel has no overlap) are left out; `n` counts the patients of the others. ``mean`` is over the findings that
        have a number. Intervals are bootstraps over patients; they do not tell how other trainings would differ.
    """
    rng = np.random.default_rng(seed)
    weights = patient_weights(chosen["patient_id"], statistics.bootstrap, rng)
    names = list(dict.fromkeys(chosen["finding"]))
    members = np.array([chosen["finding"] == name for name in names])
    rows: list[Row] = []
    for source, role, metric, method, values in _measure(chosen, maps, masks):
        value = _means(values, np.ones((1, len(chosen))), members)[0]
        samples = _means(values, weights, members)
        defined = ~np.isnan(value)
        targets = {name: np.arange(len(names)) == place for place, name in enumerate(names)} | {"mean": defined}
        for finding, among in targets.items():
            low, high = percentile_interval(_average(samples[:, among]), statistics.confidence)
            counted = members[among].any(axis=0) & ~np.isnan(values)
            rows.append(
                {
                    **keys,
                    "source": source,
                    "metric": metric,
                    "finding": finding,
                    "role": role,
                    "features": "",
                    "parameter": method,
                    "value": float(_average(value[None, among])[0]),
                    "ci_low": low,
                    "ci_high": high,
                    "n": chosen.loc[counted, "patient_id"].nunique(),
                    "simulated": simulated,
                }
            )
    return combine_metrics([pd.DataFrame(rows)])


def _measure(
    chosen: pd.DataFrame, maps: Mapping[str, Maps], masks: Images | None
) -> Iterator[tuple[str, str, str, str, NDArray[np.float64]]]:
    """Source, role, metric, method and the number of each image, float64 ``[n]``."""
    other = _other_image(chosen)
    sources = _sources(maps)
    for place, method in enumerate(METHODS):
        own = maps[REAL][place]
        cases = [(source, "value", maps[source][place]) for source in sources]
        cases += [(source, "negative_control", maps[source][place][other]) for source in sources]
        cases += [(REAL, "floor", maps[UNTRAINED][place])]
        for source, role, compared in cases:
            unmatched = (role == "negative_control") & (other == np.arange(len(other)))
            if (source, role) != (REAL, "value"):
                agreement = np.where(unmatched, np.nan, rank_correlations(own, compared))
                yield source, role, "attribution_agreement", method, agreement
            if masks is not None:
                # What Grad-CAM has below 0 measures nothing; the two others measure change, be it up or down.
                amounts = np.maximum(compared, 0) if method == "grad_cam" else compared
                overlap = np.where(unmatched, np.nan, mask_overlap(amounts, masks))
                yield source, role, "attribution_overlap", method, overlap


def _other_image(chosen: pd.DataFrame) -> NDArray[np.int64]:
    """Position of the next image of the same finding and another patient, in a circle; its own where there is none."""
    finding, patient = (pd.factorize(chosen[column])[0] for column in ("finding", "patient_id"))
    other = np.arange(len(chosen))
    for place in range(len(chosen)):
        after = np.roll(np.arange(len(chosen)), -place)
        suited = after[(finding[after] == finding[place]) & (patient[after] != patient[place])]
        other[place] = suited[0] if len(suited) else place
    return other


def _means(values: NDArray[np.float64], weights: NDArray, members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weighted means of values ``[n]`` over each finding's images, ``[resamples, findings]``; NaNs are left out."""
    counted = members * ~np.isnan(values)
    total = (weights @ counted.T.astype(np.float64)).astype(np.float64)
    sums = weights @ (np.nan_to_num(values) * counted).T
    return np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)


def _average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over findings (axis 1), NaN where there is none, or one is undefined."""
    return values.sum(axis=1) / (values.shape[1] or np.nan)


def _by_finding(real: ImageStore, chosen: pd.DataFrame) -> Iterator[tuple[str, Images]]:
    for name, rows in chosen.groupby("finding", sort=False)["row"]:
        yield str(name), real.images[rows.to_numpy()]


def _sources(maps: Mapping[str, Maps]) -> list[str]:
    return [REAL, *sorted(set(maps) - {REAL, UNTRAINED})]
