"""The errors that gomr shows to its users, and the exit status of each.

    GomrError                 1  the message is for the user: the thing, the cause, the next step
    ├── JobFailed             1  the job ended `failed`
    ├── UsageError            2  what was asked makes no sense
    │   └── DefinitionRefused 2  the job file is not a job
    ├── ConfigurationError    3  a setting or a plugin is missing or wrong
    ├── NotFoundError         4  no such job, task, file, executable
    ├── UnavailableError      5  a back end cannot be reached, or is full; trying again may help
    ├── JobCancelled          6  the job ended `cancelled`
    └── WaitTimeout         124  the time given by --timeout is over; the job goes on

Back ends raise their own small families: the storage errors below, and the coordinator's Unknown and Refused.
"""


class GomrError(Exception):
    """Base of every error whose message is for the user."""

    exit_status = 1


class JobFailed(GomrError):
    """The job ended `failed`."""


class UsageError(GomrError):
    """What was asked makes no sense."""

    exit_status = 2


class DefinitionRefused(UsageError):
    """The job file is not a job."""


class ConfigurationError(GomrError):
    """A setting or a plugin is missing or wrong."""

    exit_status = 3


class NotFoundError(GomrError):
    """No such job, task, file or executable."""

    exit_status = 4


class UnavailableError(GomrError):
    """A back end cannot be reached, or is full."""

    exit_status = 5


class JobCancelled(GomrError):
    """The job ended `cancelled`."""

    exit_status = 6


class WaitTimeout(GomrError):
    """The time to wait is over; the job goes on."""

    exit_status = 124


class StorageError(Exception):
    """Base of what a storage may raise; anything else that it raises is a bug."""


class NotFound(StorageError):
    """There is no such object."""


class Unavailable(StorageError):
    """The storage did not do it now; trying again may help."""


class DiskFull(Unavailable):
    """The storage is on this machine, whose disk is full."""


class Denied(StorageError):
    """The storage will not do it; trying again is of no use."""


class CoordinatorError(Exception):
    """Base of what a coordinator may raise; anything else that it raises is a bug."""


class Unknown(CoordinatorError):
    """The transaction may or may not have been applied: every time-out, every broken connection."""


class Refused(CoordinatorError):
    """The transaction was certainly not applied: no space, lease gone, too large, access denied."""


class OutOfSpace(Refused):
    """The coordinator is full: it will do nothing until somebody makes room; then trying again will help."""
