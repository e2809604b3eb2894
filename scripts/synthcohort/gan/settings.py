"""How one generator is trained; all of it is part of a checkpoint's digest."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the trainer needs to know of any family.

    Attributes
    ----------
    resolution : int
        Side of the images.
    widths : tuple of int
        Channels at 4², 8², 16², …
    batch : int
        Images per step, over all processes.
    learning_rate : float
        Of both Adam optimisers.
    penalty : float
        Weight of the gradient penalty: γ of R1 and R2, or the λ of a Wasserstein GAN.
    kimg : float
        Thousand real images shown, at most.
    tick_kimg : float
        Thousand real images between two rows of history.csv.
    latent : int
        Length of the generator's noise vector.
    ema_kimg : float
        Half-life of the averaged weights, in thousand images.
    horizontal_flip : bool
        Mirror real images at random.
    augmentation : float, optional
        Probability with which each augmentation is applied to what the discriminator sees; None adapts it.
    accumulation : int
        Parts that a batch is computed in, one after the other, to fit into memory.
    beta2 : float
        Of both Adam optimisers; their first moment is off.
    """

    resolution: int
    widths: tuple[int, ...]
    batch: int
    learning_rate: float
    penalty: float
    kimg: float
    tick_kimg: float
    latent: int = 64
    ema_kimg: float = 5.0
    horizontal_flip: bool = False
    augmentation: float | None = 0.0
    accumulation: int = 1
    beta2: float = 0.99


@dataclass(frozen=True)
class R3Settings(Settings):
    """Settings of r3-gan.

    Attributes
    ----------
    blocks : int
        Residual blocks per side.
    penalty_interval : int
        The penalties are computed every so many steps, and count as many times.
    guide_weight : float
        Weight of each discriminator head on the guide's features, where the image's own discriminator has 1.
    guide_penalty : float
        Weight γ of R1 and R2 on the features.
    """

    beta2: float = 0.9
    blocks: int = 1
    penalty_interval: int = 8
    guide_weight: float = 0.25
    guide_penalty: float = 5.0


@dataclass(frozen=True)
class WassersteinSettings(Settings):
    """Settings of the paper's families.

    Attributes
    ----------
    drift : float
        Weight of the squared scores of real images.
    unconditional_term : bool
        cpd-gan: add a score that no label weighs.
    label_weight : float
        prog-gan: weight of the auxiliary classifier's cross entropy.
    fade_kimg : float
        prog-gan: thousand images over which a stage's new layers fade in, at most half of the stage.
    """

    latent: int = 512
    drift: float = 0.001
    unconditional_term: bool = False
    label_weight: float = 1.0
    fade_kimg: float = 1400.0


@dataclass(frozen=True)
class DPSettings(Settings):
    """Settings of dp-gan; `batch` is the expected number of patients in a step, and there is no penalty.

    Attributes
    ----------
    epsilon : float or None
        What the whole training may give away of a patient, the label histogram included; None adds no noise.
    delta : float, optional
        Probability with which it may be more; None takes the largest power of ten below 1 / patients.
    clip : float
        Longest gradient of a patient; longer ones are shortened to it.
    discriminator_steps : int
        Steps of the discriminator per step of the generator.
    """

    epsilon: float | None = 10.0
    delta: float | None = None
    clip: float = 1.0
    discriminator_steps: int = 4
