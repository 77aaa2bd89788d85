"""The backends of the settings, and what is said of models whose own backend is not among them."""

from collections.abc import Collection

from mlhub.common.errors import NotConfiguredError


def require_backend(model: str, backend: str | None, configured: Collection[str]) -> None:
    """See that the backend of a model or a version is there still; one that never had any may have none.

    Raises:
        NotConfiguredError: it was taken out of the settings.
    """
    if backend is not None and backend not in configured:
        raise not_configured(model, backend, configured)


def not_configured(model: str, backend: str, configured: Collection[str]) -> NotConfiguredError:
    """Say that a model's backend was taken out of the settings, and what helps."""
    return NotConfiguredError(
        f"The backend {backend!r} of {model!r} is not configured any more; configured are: "
        f"{', '.join(configured) or 'none'}. Put it back into MLHUB_BACKENDS, or move the model to one of "
        f"these: PUT /model/{model} with another 'backend'."
    )
