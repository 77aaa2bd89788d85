"""The description (OpenAPI 3.1), made of what the API answers at and of what is known of each call."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import mlhub
from mlhub.api.openapi.calls import CALLS, JSON, QUERY, Call
from mlhub.api.openapi.schemas import SCHEMAS, many, ref
from mlhub.api.problems import PROBLEM_TYPE

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PAGES: Final = ("/monitor", "/monitor/events", "/pages/{file}", "/docs")
"""For people, not for programs."""
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_BYTES: Final = {"type": "string", "format": "binary"}
_MEANINGS: Final = {
    200: "Done, or it was there already",
    201: "Made, and ready",
    202: "Accepted, to be done later",
    204: "There is nothing more to come",
    206: "The part that was asked for",
    304: "The client has it already",
}
"""What other statuses say than the usual one of a call."""
_PROBLEM: Final = {
    "description": "What is wrong, and what to do",
    "content": {PROBLEM_TYPE: {"schema": ref("Problem")}},
}


def document(resources: Mapping[str, object], *, has_token: bool) -> Mapping[str, Any]:
    """Describe all calls.

    Args:
        resources: what answers, by the template of its address.
        has_token: whether the hub lets in nobody without its token.
    """
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "MLHub",
            "version": mlhub.__version__,
            "description": "One REST API in front of model servers of every kind.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            path: {method.lower(): _operation(path, method, call) for method, call in _calls(path, resource)}
            for path, resource in sorted(resources.items())
            if path not in _PAGES
        },
        "components": {"schemas": SCHEMAS},
    }
    if has_token:
        described["components"] |= {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        described["security"] = [{"token": []}]
    return described


def _calls(path: str, resource: object) -> Iterator[tuple[str, Call]]:
    known = CALLS.get(path, {})
    for method in _METHODS:
        # HEAD goes without saying where GET reads something.
        if hasattr(resource, f"on_{method.lower()}") and (method != "HEAD" or method in known):
            yield method, known.get(method, Call(""))


def _operation(path: str, method: str, call: Call) -> Mapping[str, Any]:
    words = re.findall(r"\w+", path) or ["hub"]
    operation: dict[str, Any] = {
        "operationId": "_".join((method.lower(), *words)),
        "summary": call.summary,
        "tags": [_tag(words[0])],
        "responses": {**_answers(call), "default": _PROBLEM},
    }
    parameters = [
        *(_parameter("path", name, {"type": "string"}) for name in _PARAMETER.findall(path)),
        *(_parameter("query", name, QUERY.get(name, {"type": "string"})) for name in call.query),
        *(_parameter("header", name, {"type": "string"}) for name in call.headers),
    ]
    if parameters:
        operation["parameters"] = parameters
    if call.takes:
        operation["requestBody"] = {"content": _content(call.takes.items())}
    if path.startswith(("/health/", "/v2/health/")):
        operation["security"] = []
    return operation


def _tag(word: str) -> str:
    return {"model": "models", "import": "models", "predict": "predictions", "v2": "open inference"}.get(
        word, word
    )


def _parameter(place: str, name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": schema}


def _answers(call: Call) -> Mapping[str, Any]:
    answers = {call.status: _answer(call.summary, call.gives, call.files, is_list=call.is_list)}
    answers |= {status: _answer(_MEANINGS[status], gives) for status, gives in call.others.items()}
    if "If-None-Match" in call.headers:
        answers[304] = _answer(_MEANINGS[304], "")
    return {str(status): answer for status, answer in sorted(answers.items())}


def _answer(
    meaning: str, gives: str, files: Sequence[str] = (), *, is_list: bool = False
) -> Mapping[str, Any]:
    content: dict[str, Any] = {kind: {"schema": _BYTES} for kind in files}
    if "/" in gives:
        content[gives] = {"schema": _BYTES}
    elif gives:
        content[JSON] = {"schema": many(ref(gives)) if is_list else ref(gives)}
    return {"description": meaning, "content": content} if content else {"description": meaning}


def _content(takes: Iterable[tuple[str, str]]) -> Mapping[str, Any]:
    return {kind: {"schema": _BYTES if name == "Bytes" else ref(name)} for kind, name in takes}
