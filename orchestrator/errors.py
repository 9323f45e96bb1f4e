"""What can go wrong with a cluster, each kind with the exit code that a script can rely on."""

from typing import ClassVar

EXIT_OK = 0
EXIT_CHECK_FAILED = 1
EXIT_UNKNOWN = 2
EXIT_USAGE = 64
EXIT_UNAVAILABLE = 69
EXIT_DEFECT = 70
EXIT_TRY_AGAIN = 75
EXIT_CONFIGURATION = 78
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class OrchestratorError(Exception):
    """Something a person can act on: the message says what and where, ``hint`` what to do."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_CHECK_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckFailed(OrchestratorError):  # noqa: N818 - named for the fact
    """What was asked is not so: a leftover, a failed compare."""

    code = "check_failed"


class OutcomeUnknown(OrchestratorError):  # noqa: N818 - named for the fact
    """A write was sent and no answer tells what became of it."""

    code = "unknown"
    exit_code = EXIT_UNKNOWN


class UsageError(OrchestratorError):
    """The command line can't be understood, or asks for what does not exist."""

    code = "usage"
    exit_code = EXIT_USAGE


class NoSuchNode(UsageError):  # noqa: N818 - named for the fact
    """A node that is named does not take part."""

    code = "no_such_node"


class NoCluster(OrchestratorError):  # noqa: N818 - named for the fact
    """There is no cluster here, or it is not running."""

    code = "no_cluster"
    exit_code = EXIT_UNAVAILABLE


class NoQuorum(OrchestratorError):  # noqa: N818 - named for the fact
    """Too few nodes are up for anything to be decided."""

    code = "no_quorum"
    exit_code = EXIT_UNAVAILABLE


class TryAgain(OrchestratorError):  # noqa: N818 - named for the fact
    """Not now; certainly nothing was applied."""

    code = "try_again"
    exit_code = EXIT_TRY_AGAIN


class BadConfiguration(OrchestratorError):  # noqa: N818 - named for the fact
    """cluster.yaml, the state beside it, or this host does not allow what was asked."""

    code = "bad_configuration"
    exit_code = EXIT_CONFIGURATION
