"""The paper's protocol as published, or with its defects corrected: ten switches, and a word for all of them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

ProtocolName = Literal["corrected", "paper"]


class Protocol(BaseModel):
    """What is done as published, and what is corrected; docs/protocol.md says why."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: ProtocolName = "corrected"
    """Sets every switch below that is left out: corrected turns all of them off, paper on."""
    flip_auroc: bool = False
    """Count an AUROC below 0.5 as 1 − AUROC, and leave undefined ones out of the mean."""
    drop_incomplete_batch: bool = False
    """Leave out the last test images, those that do not fill a batch."""
    ignore_class_weights: bool = False
    """Train as if `classifier.class_weights` were off, whatever it says."""
    unequal_totals: bool = False
    """classes axis: every level has its own number of images per combination, so that totals differ between levels."""
    own_findings_only: bool = False
    """Average each level over its own findings only, not also over those that all levels of the axis share."""
    scale_each_image: bool = False
    """Divide every image's stored values by their maximum; ignore rescaling, windows and MONOCHROME1."""
    stop_on_training_images: bool = False
    """Stop rule: compare samples with 10 000 training images, not with validation images."""
    copy_labels: bool = False
    """Draw one synthetic image for every real label vector, not from the training distribution of combinations."""
    mirror_always: bool = False
    """Classifiers mirror training images at random in every cohort, whether side carries meaning or not, and generators
    in none."""
    drop_unlabelled: bool = False
    """Leave out images without any positive finding, not count them as `no_finding`."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("name") != "paper":
            return value
        return dict.fromkeys(set(cls.model_fields) - {"name"}, True) | value


def by_name(value: Any) -> Any:
    """Let the name alone stand for a protocol: ``protocol: paper``."""
    return {"name": value} if isinstance(value, str) else value
