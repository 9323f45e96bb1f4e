"""Whether a run of a seed in a given world finds something."""

from orchestrator.simulation.profile import Profile
from orchestrator.simulation.run import Run


def is_found(seed: int, profile: Profile) -> bool:
    """Tell whether a run of this seed breaks a promise."""
    try:
        Run(seed, profile).carry_out()
    except AssertionError:
        return True
    return False
