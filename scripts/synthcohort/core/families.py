"""The registry of generator families. A new one is one module under ``gan/`` and one entry here.

It names modules as text, so that planning a study imports neither them nor torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Registered:
    """Where a family's code lies, and how its training is cut into jobs.

    Attributes
    ----------
    module : str
        A module with a ``FAMILY``; see ``docs/generators.md``.
    grows : bool
        Trained in stages of rising resolution, each a job that continues the one before.
    private : bool
        Trained with differential privacy: neither the guide nor any other sight of patients steers it.
    """

    module: str
    grows: bool = False
    private: bool = False


FAMILIES = {
    "prog-gan": Registered("synthcohort.gan.prog_gan", grows=True),
    "cpd-gan": Registered("synthcohort.gan.cpd_gan"),
    "r3-gan": Registered("synthcohort.gan.r3_gan"),
    "dp-gan": Registered("synthcohort.gan.dp_gan", private=True),
}
