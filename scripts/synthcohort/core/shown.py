"""The config as it may be shown to others."""

from typing import Any

from synthcohort.core.config import Study

NOT_SHOWN = "(path not shown)"


def shown_config(study: Study) -> dict[str, Any]:
    """Give the resolved config as plain values, without the paths of users' own data: they could name patients."""
    config = study.model_dump(mode="json", exclude_none=True)
    for cohort in config["cohorts"]:
        if "data" in cohort:
            cohort["data"] |= dict.fromkeys({"folder", "labels", "metadata"} & set(cohort["data"]), NOT_SHOWN)
    for network in ("classifier", "judge"):
        if config[network]["weights"] not in ("none", "download"):
            config[network]["weights"] = NOT_SHOWN
    if config["stop_rule"]["features"] not in ("guide", "download"):
        config["stop_rule"]["features"] = NOT_SHOWN
    return config
