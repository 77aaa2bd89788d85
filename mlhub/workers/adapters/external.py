"""The adapter to servers whose models somebody else puts there: nothing is deployed, versions are bound."""

from pathlib import Path

import msgspec

from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendError, NotDeployedError
from mlhub.workers.adapters.oip import OpenInferenceAdapter
from mlhub.workers.adapters.options import read_options


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model of the hub is on the servers."""

    model: str
    version: str | None = None
    """The server's default where none is named."""


class ExternalOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only this protocol knows."""

    models: dict[str, Binding] = {}
    """By the hub's names; a model that is not here has the same name on the servers."""


class ExternalAdapter(OpenInferenceAdapter):
    """Speaks the Open Inference Protocol to models that are there already."""

    def _configure(self, settings: BackendSettings) -> None:
        self._options = read_options(settings, ExternalOptions)

    def deploy(self, model: str, deployment: str, files: Path) -> None:
        """See that the servers have the model; the files stay in the hub, for those who download them."""
        del files
        if not self.ready(model, deployment):
            raise NotDeployedError(
                f"The model server does not have {self._bound(model).model!r}; whoever runs it puts it "
                "there, or the backend's option 'models' says what it is called."
            )

    def undeploy(self, model: str, deployment: str) -> None:
        """Leave the model where it is: it is not the hub's."""

    def deployments(self) -> frozenset[tuple[str, str]]:
        """Tell nothing: what is missing is not the hub's to give back."""
        raise BackendError("The models of this backend are not the hub's to deploy.", code="not_ours")

    def _served(self, model: str, deployment: str) -> tuple[str, str | None]:
        del deployment
        bound = self._bound(model)
        return bound.model, bound.version

    def _bound(self, model: str) -> Binding:
        return self._options.models.get(model) or Binding(model)
