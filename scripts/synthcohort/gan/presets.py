"""Settings of every family, per scale and resolution.

A scale says what a study can afford: ``tiny`` minutes on two cores, ``small`` hours on a workstation or one card,
``paper`` the published widths and lengths on several cards. Rows marked ° were never trained.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from synthcohort.core.errors import UserError
from synthcohort.core.plan import FIRST_STAGE
from synthcohort.gan.settings import DPSettings, R3Settings, Settings, WassersteinSettings

Row = tuple[str, int, tuple[int, ...], int, float, float, float]
Presets = Mapping[tuple[str, int], Settings]
TICKS = 20  # rows of history.csv …
LONGEST_TICK = 20.0  # … or more, in thousand images


def paper_widths(side: int, base: int = 16384, cap: int = 512) -> tuple[int, ...]:
    """Channels at 4², 8², …, `side`²: ``min(cap, base / 2^stage)`` with stage 1 at 4².

    The form is that of Karras et al. 2018, whose base is 8192; cpd-gan's is 16384.
    """
    return tuple(min(cap, base // 2**stage) for stage in range(1, side.bit_length() - 1))


def _presets(kind: type[Settings], rows: Iterable[Row], published_decay: float | None = None) -> Presets:
    """Make the settings of a table's rows; at scale paper, weights are averaged with `published_decay` per step."""
    presets = {
        (scale, side): kind(side, widths, batch, rate, penalty, kimg, tick_length(kimg))
        for scale, side, widths, batch, rate, penalty, kimg in rows
    }
    if published_decay is not None:
        steps = math.log(0.5) / math.log(published_decay)
        for key, settings in presets.items():
            if key[0] == "paper":
                presets[key] = replace(settings, ema_kimg=steps * settings.batch / 1000)
    return presets


def tick_length(kimg: float) -> float:
    """Thousand images between two rows of the history of a training of `kimg`."""
    return min(LONGEST_TICK, kimg / TICKS)


# r3-gan pixel-shuffles from its last width to the full side. At scales small and paper γ grows ×4 per doubling of the
# side; scale tiny is tuned side by side.
_R3_GAN = _presets(
    R3Settings,
    [
        # scale  side  widths at 4², 8², …                 batch  lr     γ     kimg
        ("tiny", 8, (64,), 16, 4e-4, 0.3, 20),
        ("tiny", 16, (96, 64), 32, 1.2e-3, 0.3, 30),
        ("tiny", 32, (96, 64, 32), 32, 8e-4, 1.0, 120),
        ("tiny", 64, (96, 64, 48, 32), 32, 6e-4, 4.0, 300),  # °
        ("small", 16, (192, 128), 32, 4e-4, 0.25, 1000),  # °
        ("small", 32, (256, 192, 128), 32, 3e-4, 1.0, 2000),  # °
        ("small", 64, (256, 192, 128, 64), 32, 3e-4, 4.0, 3000),  # °
        ("small", 128, (256, 256, 192, 128, 64), 32, 2e-4, 16, 4000),  # °
        ("small", 256, (256, 256, 256, 192, 128, 64), 32, 2e-4, 64, 5000),  # °
        ("paper", 32, (512, 384, 256), 256, 2e-4, 1.0, 10_000),  # °
        ("paper", 64, (512, 512, 384, 256), 256, 2e-4, 4.0, 10_000),  # °
        ("paper", 128, (512, 512, 512, 384, 256), 128, 2e-4, 16, 10_000),  # °
        ("paper", 256, (512, 512, 512, 384, 256, 128), 64, 2e-4, 64, 10_000),  # °
        ("paper", 512, (512, 512, 512, 384, 256, 128, 64), 64, 2e-4, 256, 10_000),  # °
    ],
)

# Long trainings average over a twentieth of their images, 500 thousand at most; tiny ones over the 5 of the settings.
R3_GAN: Presets = {
    key: row if key[0] == "tiny" else replace(row, ema_kimg=min(500.0, row.kimg / 20)) for key, row in _R3_GAN.items()
}

# λ is the published 10 throughout.
CPD_GAN = _presets(
    WassersteinSettings,
    [
        # scale  side  widths                          batch  lr    λ   kimg
        ("tiny", 8, paper_widths(8, 1024, 64), 32, 1e-2, 10, 40),
        ("tiny", 16, (64, 48, 32), 16, 1e-2, 10, 20),
        ("tiny", 32, (64, 48, 32, 16), 16, 1e-2, 10, 42),
        ("tiny", 64, (64, 48, 32, 16, 16), 16, 1e-2, 10, 150),  # °
        ("small", 16, paper_widths(16, 8192, 256), 64, 2e-3, 10, 2000),  # °
        ("small", 32, paper_widths(32, 8192, 256), 64, 2e-3, 10, 3000),  # °
        ("small", 64, paper_widths(64, 8192, 256), 64, 2e-3, 10, 4000),  # °
        ("small", 128, paper_widths(128, 8192, 256), 32, 2e-3, 10, 5000),  # °
        ("small", 256, paper_widths(256, 8192, 256), 32, 2e-3, 10, 5000),  # °
        ("paper", 32, paper_widths(32), 256, 5e-3, 10, 12_000),  # °
        ("paper", 64, paper_widths(64), 128, 5e-3, 10, 14_000),  # °
        ("paper", 128, paper_widths(128), 64, 5e-3, 10, 16_000),  # °
        ("paper", 256, paper_widths(256), 32, 5e-3, 10, 16_000),  # °
        ("paper", 512, paper_widths(512), 16, 5e-3, 10, 16_000),  # °
    ],
    published_decay=0.999,
)

# Growth, in thousand images by scale and side that is grown to: at 8², where nothing fades in, and per phase of each
# later stage, which has two: fading in, and standing. The paper's phases are shorter from 64² up.
GROWTH = {
    ("tiny", 8): (10.0, 5.0),
    ("small", 8): (300.0, 300.0),
    ("paper", 8): (1400.0, 1400.0),
    ("paper", 64): (1000.0, 1000.0),
}

# One row per stage, as long as where the growth ends with it. At scale paper 32², 64² and 128² are what the growth
# before leaves of the published 12, 14 and 16 million. That these lengths include the growth is inferred: the published
# minima of 7, 7 and 9 million are the phases of a growth to 32² (5 of 1.4), 64² (7 of 1.0) and 128² (9 of 1.0).
_PROG_GAN = _presets(
    WassersteinSettings,
    [
        # scale  side  widths                          batch  lr    λ   kimg
        ("tiny", 8, (64, 48), 16, 1e-2, 10, 10),
        ("tiny", 16, (64, 48, 32), 16, 1e-2, 10, 16),
        ("tiny", 32, (64, 48, 32, 16), 16, 1e-2, 10, 32),
        ("tiny", 64, (64, 48, 32, 16, 16), 16, 1e-2, 10, 120),  # °
        ("small", 8, paper_widths(8, 8192, 256), 64, 1e-3, 10, 300),  # °
        ("small", 16, paper_widths(16, 8192, 256), 64, 1e-3, 10, 1000),  # °
        ("small", 32, paper_widths(32, 8192, 256), 64, 1e-3, 10, 2000),  # °
        ("small", 64, paper_widths(64, 8192, 256), 64, 1e-3, 10, 3000),  # °
        ("small", 128, paper_widths(128, 8192, 256), 32, 1e-3, 10, 4000),  # °
        ("small", 256, paper_widths(256, 8192, 256), 16, 1e-3, 10, 4000),  # °
        ("paper", 8, paper_widths(8, 8192), 256, 1e-3, 10, 1400),  # °
        ("paper", 16, paper_widths(16, 8192), 128, 1e-3, 10, 5600),  # °
        ("paper", 32, paper_widths(32, 8192), 64, 1e-3, 10, 7800),  # °
        ("paper", 64, paper_widths(64, 8192), 32, 1e-3, 10, 9000),  # °
        ("paper", 128, paper_widths(128, 8192), 16, 1e-3, 10, 9000),  # °
        ("paper", 256, paper_widths(256, 8192), 14, 1e-3, 10, 7000),  # °
        ("paper", 512, paper_widths(512, 8192), 6, 1e-3, 10, 5000),  # °
    ],
    published_decay=0.999,
)


def phases(scale: str, target: int) -> tuple[float, float]:
    """Thousand images at 8², and per phase of each later stage, of a growth to `target`."""
    return GROWTH[max(key for key in GROWTH if key[0] == scale and key[1] <= target)]


PROG_GAN: Presets = {
    key: replace(row, fade_kimg=phases(*key)[1])  # type: ignore[call-arg]
    for key, row in _PROG_GAN.items()
}

# Share of a training before its first evaluation counts, where it is published: of cpd-gan's lengths, and of
# prog-gan's last stage the growth that is in it. 256² and 512² are inferred. The config says what the others have.
_CPD_GAN_MINIMA = {32: 7 / 12, 64: 7 / 14, 128: 9 / 16, 256: 9 / 16, 512: 9 / 16}
MINIMA = {("cpd-gan", "paper", side): share for side, share in _CPD_GAN_MINIMA.items()} | {
    ("prog-gan", "paper", side): 2 * phases("paper", side)[1] / PROG_GAN["paper", side].kimg for side in _CPD_GAN_MINIMA
}

# Few weights, as each gets noise; large batches, as each step does. The penalty's column is not used.
DP_GAN = _presets(
    DPSettings,
    [
        # scale  side  widths           batch  lr    –  kimg
        ("tiny", 8, (32, 16), 128, 1e-3, 0, 200),  # °
        ("tiny", 16, (32, 16, 16), 128, 1e-3, 0, 300),
        ("tiny", 32, (32, 32, 16, 8), 128, 1e-3, 0, 600),  # °
        ("small", 16, (64, 32, 16), 512, 1e-3, 0, 4000),  # °
        ("small", 32, (64, 64, 32, 16), 512, 1e-3, 0, 8000),  # °
        ("small", 64, (64, 64, 32, 32, 16), 512, 1e-3, 0, 8000),  # °
    ],
)


def resolve_settings(presets: Presets, scale: str, resolution: int, on_the_way: int = 0, **changes: Any) -> Settings:
    """Take a family's preset, with what the config sets otherwise.

    Parameters
    ----------
    presets : mapping
        The family's.
    scale : str
        ``tiny``, ``small`` or ``paper``.
    resolution : int
        Side of the images.
    on_the_way : int
        Side that a growth goes on to after this stage, whose length and fading follow from it; 0 at its end.
    **changes
        Fields of the settings and their values.

    Raises
    ------
    UserError
        When the family has no such preset.
    """
    if (scale, resolution) not in presets:
        there = ", ".join(f"{side}" for name, side in sorted(presets) if name == scale) or "none"
        raise UserError(
            f"generators: there is no preset of scale {scale} for resolution {resolution}; of this scale there are: "
            f"{there}."
        )
    if on_the_way:
        first, phase = phases(scale, on_the_way)
        changes = {"kimg": first if resolution == FIRST_STAGE else 2 * phase, "fade_kimg": phase, **changes}
    settings = replace(presets[scale, resolution], **changes)
    return replace(settings, tick_kimg=tick_length(settings.kimg))
