"""The graph in a torch.export archive, as JSON: checked and bared before PyTorch makes a program of it.

PyTorch evaluates parts of this text as Python: expressions for extents, guards, names of inputs; and it looks
up any function that a node names. So only what torch.export writes is let through, and what a graph runs
without (guards, traces of where a node came from) is taken out.
"""

import ast
import json
import re
from collections.abc import Callable
from typing import Any, Final

from mlhub.common.errors import UnacceptableError
from mlhub.servers.artefact import refusal

_LONGEST: Final = 2000
"""Characters of an expression for an extent."""
_TEXT: Final = re.compile(r"[\w.+\-/]*", re.ASCII)
"""Names and versions: nothing that could be more than a name where it becomes part of a program."""
_OPERATORS: Final = re.compile(
    r"torch\.ops\.(aten|prim|prims|quantized|quantized_decomposed|torchvision)\.(?!__)\w+(\.(?!__)\w+)?"
    r"|torch\.ops\.aten\.__(and|or|xor|lshift|rshift)__(\.\w+)?"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl|associative_scan|invoke_subgraph"
    r"|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.(getitem|eq|ne|le|ge|lt|gt|neg|pos|mul|add|sub|floordiv|truediv|mod|pow|and_|or_|not_"
    r"|lshift|rshift)"
    r"|math\.(trunc|ceil|floor|sqrt)"
    r"|torch\.(sym_not|sym_int|sym_float|sym_ite|sym_max|sym_min|sym_sqrt|_sym_sqrt)",
    re.ASCII,
)
"""Functions that a node may call."""
_FILES: Final = re.compile(r"torch\.ops\.aten\.(from_file|save|_save|load)(\.\w+)?")
"""Those of PyTorch's own operators that read or write files."""
_FUNCTIONS: Final = re.compile(
    r"Symbol|Integer|Rational|Float|Add|Mul|Pow|Mod|Max|Min|Abs|floor|ceiling|And|Or|Not|Tuple"
    r"|Eq|Ne|Equality|Unequality|(Strict)?(Less|Greater)Than|Piecewise|ExprCondPair|Where|Identity|PythonMod"
    r"|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv|FloatTrueDiv|ModularIndexing|LShift|RShift|PowByNatural|FloatPow"
    r"|(Ceil|Floor|Trunc|Round)ToInt|TruncToFloat|ToFloat|RoundDecimal|IsNonOverlappingAndDenseIndicator"
)
"""What an expression for an extent may call."""
_PARTS: Final = (
    ast.Expression,
    ast.Call,
    ast.Constant,
    ast.Load,
    ast.Name,
    ast.keyword,
    ast.UnaryOp,
    ast.USub,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
)
"""Of what an expression for an extent may be made."""
_CONTAINERS: Final = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
"""What inputs and outputs may lie in."""
_CPU: Final = {"type": "cpu", "index": None}


def bared(content: bytes) -> bytes:
    """Return a graph's or its weights' JSON with only what it takes to run it, all of it for the CPU.

    Raises:
        UnacceptableError: it holds what torch.export does not write, or what could run any code.
        ValueError: it is no JSON.
    """
    return json.dumps(_bared(json.loads(content), "")).encode()


def _bared(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        if key in {"device", "as_device"}:
            return _CPU
        for name in value:
            _check_text(name)
        return {
            name: _EMPTIED[name]() if name in _EMPTIED else _bared(item, name) for name, item in value.items()
        }
    if key in _FORBIDDEN and value:
        raise refusal(_FORBIDDEN[key])
    if isinstance(value, list):
        return [_bared(item, key) for item in value]
    if isinstance(value, str):
        _CHECKS.get(key, _check_text)(value)
    return value


def _check_nothing(_text: str) -> None:
    """Take any text: an argument of an operator is no part of a program."""


def _check_operator(name: str) -> None:
    if _FILES.fullmatch(name):
        raise refusal(f"its graph calls {name}, which reads or writes files")
    if not _OPERATORS.fullmatch(name):
        raise refusal(f"its graph calls {name}, which is none of PyTorch's own operators")


def _check_text(text: str) -> None:
    if not _TEXT.fullmatch(text):
        raise _odd(text)


def _check_expression(text: str) -> None:
    if len(text) > _LONGEST:
        raise _odd(text)
    for part in ast.walk(ast.parse(text, mode="eval")):
        if not isinstance(part, _PARTS):
            raise _odd(text)
        if isinstance(part, ast.Call) and not (
            isinstance(part.func, ast.Name) and _FUNCTIONS.fullmatch(part.func.id)
        ):
            raise _odd(text)
        if isinstance(part, ast.Name):
            _check_text(part.id)
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            _check_text(part.value)


def _check_containers(text: str) -> None:
    protocol, tree = json.loads(text)
    waiting = [tree]
    if protocol != 1:
        raise _odd(protocol)
    while waiting:
        found = waiting.pop()
        if found["type"] not in _CONTAINERS:
            raise refusal(
                f"it takes or gives a {found['type']}; use tensors, tuples, lists and dicts of them"
            )
        keys = json.loads(found["context"]) if found["context"] else None
        if not (keys is None or (isinstance(keys, list) and all(isinstance(name, str) for name in keys))):
            raise _odd(keys)
        waiting += found["children_spec"]


def _odd(found: Any) -> UnacceptableError:
    shown = str(found)[:100]
    return refusal(f"its graph holds {shown!r}, which torch.export does not write")


_EMPTIED: Final[dict[str, Callable[[], Any]]] = {"metadata": dict, "guards_code": list}
"""What a graph runs without."""
_FORBIDDEN: Final = {
    "treespec_namedtuple_fields": "it takes or gives named tuples; use a tuple or a dict",
    "use_pickle": "it holds a pickle, which could run any code, in place of plain weights",
}
"""What must be empty or false, and why."""
_CHECKS: Final[dict[str, Callable[[str], None]]] = {
    "as_operator": _check_operator,
    "as_string": _check_nothing,
    "as_strings": _check_nothing,
    "expr_str": _check_expression,
    "in_spec": _check_containers,
    "out_spec": _check_containers,
    "target": _check_operator,
}
"""What texts under some keys must be; all others are names."""
