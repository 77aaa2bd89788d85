"""What keeps the hub from running on this machine, as sentences that say what to do."""

from mlhub.common.errors import MLHubError


class MissingError(MLHubError):
    """Something that is needed is not installed."""

    code = "missing"


class InstanceError(MLHubError):
    """The instance cannot be used as it was asked for: its folder, or its port."""

    code = "bad_instance"


class StartError(MLHubError):
    """A part of the hub did not get ready."""

    code = "start_failed"
