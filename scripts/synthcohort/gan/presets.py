"""Settings of every family per resolution."""

from dataclasses import dataclass, replace

from synthcohort.core.errors import UserError


@dataclass(frozen=True)
class Settings:
    """How one generator is trained; all of it is part of a checkpoint's digest.

    Attributes
    ----------
    resolution : int
        Side of the images.
    widths : tuple of int
        Channels at 4², 8², 16², …; from there to the resolution the image is pixel-shuffled.
    blocks : int
        Residual blocks per side.
    batch : int
        Images per step.
    learning_rate : float
        Of both Adam optimisers.
    gamma : float
        Weight of R1 and R2 on images.
    kimg : float
        Thousand real images shown.
    tick_kimg : float
        Thousand real images between two rows of history.csv.
    latent : int
        Length of the generator's noise vector.
    penalty_interval : int
        The penalties are computed every so many steps, and count as many times.
    ema_kimg : float
        Half-life of the averaged weights, in thousand images.
    guide_weight : float
        Weight of each discriminator head on the guide's features, where the image's own discriminator has 1.
    guide_gamma : float
        Weight of R1 and R2 on the features.
    horizontal_flip : bool
        Mirror real images at random.
    """

    resolution: int
    widths: tuple[int, ...]
    blocks: int
    batch: int
    learning_rate: float
    gamma: float
    kimg: float
    tick_kimg: float
    latent: int = 64
    penalty_interval: int = 4
    ema_kimg: float = 5.0
    guide_weight: float = 0.25
    guide_gamma: float = 5.0
    horizontal_flip: bool = False


# γ grows with the number of pixels (×4 per doubling of the side) where presets are scaled up without a measurement.
R3_GAN = {
    settings.resolution: settings
    for settings in (
        #        side  widths at 4², 8², 16², …             blocks batch  lr    γ     kimg   tick
        Settings(8, (64,), 2, 16, 4e-4, 1.0, 20, 2),  # untested
        Settings(16, (96, 64), 1, 16, 8e-4, 0.3, 20, 4),
        Settings(32, (96, 64, 32), 1, 32, 8e-4, 1.0, 120, 4),
        Settings(64, (256, 192, 128, 64), 1, 32, 3e-4, 6, 2000, 10),  # untested
        Settings(128, (384, 256, 192, 128, 64), 1, 64, 2e-4, 24, 5000, 25),  # untested
        Settings(256, (512, 384, 256, 192, 128, 64), 1, 64, 2e-4, 96, 8000, 50),  # untested
        Settings(512, (512, 512, 384, 256, 192, 128, 64), 1, 64, 2e-4, 384, 10000, 50),  # untested
    )
}


def resolve_settings(
    presets: dict[int, Settings], resolution: int, kimg: dict[int, float], horizontal_flip: bool = False
) -> Settings:
    """Take a family's preset for `resolution`, with the config's length of training where it names one.

    Raises
    ------
    UserError
        When the family has no preset for the resolution.
    """
    if resolution not in presets:
        raise UserError(
            f"axes: no generator preset for resolution {resolution}; there are {', '.join(map(str, sorted(presets)))}."
        )
    preset = presets[resolution]
    return replace(preset, kimg=kimg.get(resolution, preset.kimg), horizontal_flip=horizontal_flip)
