"""The step that runs the example input."""

from typing import Any, Final

import msgspec

from mlhub.common import rows, tensor
from mlhub.common.errors import BackendError, UnacceptableError
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft

_LARGEST: Final = 64 * 1024
"""Bytes of JSON that an output may have to be kept with its version."""


class Example:
    """Predicts from the bundle's example input, else the entry's, and keeps what comes out."""

    name = "example"
    work = "Running the example input"

    def __init__(self, adapter: BackendAdapter) -> None:
        self._adapter = adapter

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Run it, if there is one."""
        example = draft.found().description.input_example
        if example is None:
            example = draft.model.input_example
        if example is None:
            return draft
        try:
            output = self._run(draft, example)
        except (UnacceptableError, BackendError) as error:
            if isinstance(error, BackendError) and error.code != "backend_refused":
                raise
            raise UnacceptableError(
                f"The model does not run on its own example input: {error.detail}",
                code="bad_example",
                brief="The model does not run on its own example input.",
            ) from error
        deadline.check()
        return msgspec.structs.replace(draft, example_output=output)

    def _run(self, draft: Draft, example: Any) -> Any:
        raw = msgspec.Raw(msgspec.json.encode(example))
        given = rows.from_json(raw, draft.known(), "/input_example")
        inputs = [tensor.encode(name, array) for name, array in given.inputs.items()]
        outputs = self._adapter.predict(draft.version.model, draft.version.deployment, inputs)
        values = {output.name: tensor.to_list(tensor.decode(output)) for output in outputs}
        if given.single:
            values = {name: value[0] for name, value in values.items()}
        shown = next(iter(values.values())) if len(values) == 1 else values
        return shown if len(msgspec.json.encode(shown)) <= _LARGEST else None
