"""The config as it may be shown to others."""

import json
from typing import Any

from synthcohort.core.config import Study

NOT_SHOWN = "(path not shown)"
REASON_NOT_SHOWN = "(a reason was given; only the bundle shows it)"


def shown_config(study: Study) -> dict[str, Any]:
    """Give the resolved config as JSON has it, without the paths of users' own data: they could name patients.

    The reason for overriding the release's gate stays where it belongs, in the bundle.

    Keys that are off stay in it as null: as a config file it is merged into config.yaml, which may have them on.
    """
    config: dict[str, Any] = json.loads(study.model_dump_json())
    for cohort in config["cohorts"]:
        data = cohort["data"] or {}
        data |= {key: NOT_SHOWN for key in ("folder", "labels", "metadata") if data.get(key)}
    for network in ("classifier", "judge"):
        if config[network]["weights"] not in ("none", "download"):
            config[network]["weights"] = NOT_SHOWN
    if config["stop_rule"]["features"] not in ("guide", "download"):
        config["stop_rule"]["features"] = NOT_SHOWN
    if (config["release"] or {}).get("override"):
        config["release"]["override"] = REASON_NOT_SHOWN
    return config
