"""The release rule in dry runs: what it needs, and what is said where the config does not fit."""

import pytest
from workflows import release_of

pytestmark = pytest.mark.workflow
RELEASE = release_of("head-phantom", "resolution-008")


def test_a_release_needs_the_run_and_the_metrics_and_is_not_part_of_all(tiny) -> None:
    tiny.config["release"] = RELEASE
    assert {"release", "metrics", "sample", "select_images"} <= tiny.rules_to_run("release")
    assert "release" not in tiny.rules_to_run()


@pytest.mark.parametrize(
    ("release", "sentence"),
    [
        (None, "config key release: this key is needed for the target 'release'"),
        (
            {**RELEASE, "source": "real"},
            "config key release.source: there is no 'real' to release here; the nearest is",
        ),
    ],
)
def test_what_cannot_be_released_is_said_in_one_sentence(tiny, release, sentence) -> None:
    if release:
        tiny.config["release"] = release
    output = tiny.run("--dry-run", "release", expect=1)
    assert f"error: {sentence}" in output
    assert "Traceback" not in output
