"""PyTorch's models: what is served, and that nothing in a file from elsewhere ever runs."""

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.export import Dim

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, TensorSpec
from mlhub.servers.graph import GraphModel
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.pytorch import PyTorchRuntime
from mlhub.servers.torchtensor import choose_device

ROWS = Dim("rows")


class Doubler(torch.nn.Module):
    """Doubles, with a weight to keep."""

    def __init__(self) -> None:
        super().__init__()
        self.two = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.two


class Several(torch.nn.Module):
    """Takes and gives several tensors of several kinds."""

    def forward(
        self, number: torch.Tensor, count: torch.Tensor, flags: dict[str, torch.Tensor]
    ) -> dict[str, Any]:
        return {
            "sum": number + count,
            "both": torch.logical_and(flags["a"], flags["b"]),
            "pair": (count * 2, number[:, :1]),
        }


class InPlace(torch.nn.Module):
    """Changes what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(2)


@pytest.fixture(scope="module")
def runtime() -> PyTorchRuntime:
    return PyTorchRuntime(RuntimeOptions(max_memory=2**28))


@pytest.fixture
def load(runtime: PyTorchRuntime, tmp_path: Path) -> Callable[..., GraphModel]:
    """Load what is in the folder, with the inputs that a `mlhub.json` names."""

    def load(**inputs: tuple[str, list[int]]) -> GraphModel:
        if inputs:
            specs = [
                {"name": name, "datatype": datatype, "shape": shape}
                for name, (datatype, shape) in inputs.items()
            ]
            (tmp_path / "mlhub.json").write_text(json.dumps({"signature": {"inputs": specs}}))
        return runtime.load(tmp_path)

    return load


def export(folder: Path, model: torch.nn.Module, *given: Any, shapes: Any = None) -> Path:
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(model, given, dynamic_shapes=shapes), path)
    return path


def script(folder: Path, model: torch.nn.Module, *given: Any) -> Path:
    path = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(model, given).save(str(path))
    return path


def rewrite(path: Path, change: Callable[[str, bytes], bytes | None], **added: bytes) -> None:
    """Change the entries of a zip, or leave them out, and add others; keys name them below the top folder."""
    with zipfile.ZipFile(path) as source:
        entries = {info.filename: source.read(info) for info in source.infolist()}
    top = next(iter(entries)).partition("/")[0]
    with zipfile.ZipFile(path, "w") as target:
        for name, content in entries.items():
            changed = change(name.partition("/")[2], content)
            if changed is not None:
                target.writestr(name, changed)
        for name, content in added.items():
            target.writestr(f"{top}/{name}", content)


def changed_graph(path: Path, change: Callable[[Any], None]) -> None:
    def edit(name: str, content: bytes) -> bytes:
        if name != "models/model.json":
            return content
        graph = json.loads(content)
        change(graph)
        return json.dumps(graph).encode()

    rewrite(path, edit)


class Mark:
    """A pickle of it leaves a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_free_first_extent_takes_any_number_of_rows(load: Any, tmp_path: Path) -> None:
    export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    model = load()
    assert model.signature.inputs == (TensorSpec("x", "FP32", (ANY, 3)),)
    assert model.signature.outputs == (TensorSpec("output", "FP32", (ANY, 3)),)
    for rows in (1, 2, 100):
        given = np.ones((rows, 3), np.float32)
        np.testing.assert_array_equal(model.predict({"x": given}, ())["output"], given * 2)


def test_a_model_exported_with_one_row_is_run_row_by_row(load: Any, tmp_path: Path) -> None:
    export(tmp_path, torch.nn.Flatten(), torch.zeros(1, 2, 3))
    model = load()
    assert model.signature.batchable
    given = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    (name,) = (spec.name for spec in model.signature.inputs)
    np.testing.assert_array_equal(model.predict({name: given}, ())["output"], given.reshape(4, 6))


def test_a_model_exported_with_some_rows_only_is_refused_with_what_to_do(load: Any, tmp_path: Path) -> None:
    export(tmp_path, Doubler(), torch.zeros(32, 3))
    with pytest.raises(
        UnacceptableError, match=r"shapes only: 'x' \[32, 3\]; save it with a first dimension"
    ):
        load()


def test_a_limit_of_rows_is_kept_by_cutting_batches(load: Any, tmp_path: Path) -> None:
    export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: Dim("few", max=8)}})
    given = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.testing.assert_array_equal(load().predict({"x": given}, ())["output"], given * 2)


def test_extents_that_a_model_cannot_take_are_refused(load: Any, tmp_path: Path) -> None:
    shapes = {"x": {0: ROWS, 1: Dim("width", min=2, max=8)}}
    export(tmp_path, Doubler(), torch.zeros(2, 3), shapes=shapes)
    model = load()
    assert model.predict({"x": np.ones((3, 8), np.float32)}, ())["output"].shape == (3, 8)
    with pytest.raises(UnacceptableError, match="refuses this input"):
        model.predict({"x": np.ones((3, 9), np.float32)}, ())


def test_several_inputs_and_outputs_of_several_kinds_have_names(load: Any, tmp_path: Path) -> None:
    given = (
        torch.zeros(2, 3),
        torch.zeros(2, 3, dtype=torch.int64),
        {"a": torch.ones(2) > 0, "b": torch.ones(2) > 0},
    )
    shapes = {"number": {0: ROWS}, "count": {0: ROWS}, "flags": {"a": {0: ROWS}, "b": {0: ROWS}}}
    export(tmp_path, Several(), *given, shapes=shapes)
    model = load()
    assert [(spec.name, spec.datatype) for spec in model.signature.inputs] == [
        ("number", "FP32"),
        ("count", "INT64"),
        ("flags_a", "BOOL"),
        ("flags_b", "BOOL"),
    ]
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.outputs] == [
        ("sum", "FP32", (ANY, 3)),
        ("both", "BOOL", (ANY,)),
        ("pair_0", "INT64", (ANY, 3)),
        ("pair_1", "FP32", (ANY, 1)),
    ]
    inputs = {
        "number": np.full((4, 3), 0.5, np.float32),
        "count": np.arange(12).reshape(4, 3),
        "flags_a": np.array([True, True, False, False]),
        "flags_b": np.array([True, False, True, False]),
    }
    answer = model.predict(inputs, ("both", "pair_0", "sum"))
    assert list(answer) == ["both", "pair_0", "sum"]
    assert answer["both"].tolist() == [True, False, False, False]
    np.testing.assert_array_equal(answer["pair_0"], inputs["count"] * 2, strict=True)
    np.testing.assert_array_equal(answer["sum"], inputs["count"].astype(np.float32) + np.float32(0.5))


def test_a_description_gives_tensors_other_names(load: Any, tmp_path: Path) -> None:
    export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    assert [spec.name for spec in load(pixels=("FP32", [-1, 3])).signature.inputs] == ["pixels"]
    for wrong in (
        {"pixels": ("FP64", [-1, 3])},
        {"pixels": ("FP32", [-1, 4])},
        {"a": ("FP32", [-1]), "b": ("FP32", [-1])},
    ):
        with pytest.raises(UnacceptableError, match=r"mlhub\.json"):
            load(**wrong)


@pytest.mark.parametrize("save", [export, script])
def test_a_model_that_changes_its_input_does_not_change_the_callers(
    load: Any, tmp_path: Path, save: Any
) -> None:
    save(tmp_path, InPlace(), torch.ones(1, 3))
    model = load(x=("FP32", [1, 3]))
    given = np.frombuffer(np.ones(3, np.float32).tobytes(), np.float32).reshape(1, 3)
    np.testing.assert_array_equal(model.predict({"x": given}, ())[model.signature.outputs[0].name], given * 2)
    assert given.tolist() == [[1, 1, 1]]


def test_torchscript_needs_a_signature_and_finds_out_the_rest(load: Any, tmp_path: Path) -> None:
    script(tmp_path, Doubler(), torch.zeros(2, 3))
    with pytest.raises(UnacceptableError, match=r"does not say what it takes; add a mlhub\.json"):
        load()
    model = load(x=("FP32", [-1, 3]))
    assert model.signature.outputs == (TensorSpec("output", "FP32", (ANY, 3)),)
    given = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(model.predict({"x": given}, ())["output"], given * 2)


def test_torchscript_that_does_not_fit_its_signature_is_refused(load: Any, tmp_path: Path) -> None:
    script(tmp_path, torch.nn.Linear(3, 2), torch.zeros(2, 3))
    with pytest.raises(UnacceptableError, match="does not run on zeros of the shapes"):
        load(input=("FP32", [-1, 4]))
    with pytest.raises(UnacceptableError, match="a row of its 'input' has 2147483647 values"):
        load(input=("FP32", [-1, 2**31 - 1]))


@pytest.mark.parametrize("what", ["module", "weights"])
@pytest.mark.parametrize("old", [True, False])
def test_a_pickle_is_refused_with_what_to_do(load: Any, tmp_path: Path, what: str, *, old: bool) -> None:
    model = torch.nn.Linear(2, 2)
    torch.save(
        model if what == "module" else model.state_dict(),
        tmp_path / "model.pt",
        _use_new_zipfile_serialization=not old,
    )
    with pytest.raises(UnacceptableError, match=r"is a pickle.*torch\.export\.save"):
        load(x=("FP32", [-1, 2]))


def test_a_pickle_that_poses_as_torchscript_is_refused(load: Any, tmp_path: Path) -> None:
    path = script(tmp_path, Doubler(), torch.zeros(1, 3))
    mark = tmp_path / "mark"
    content = pickle.dumps(Mark(mark), protocol=2)
    rewrite(path, lambda name, old: content if name == "data.pkl" else old)
    with pytest.raises(UnacceptableError, match="could run any code"):
        load(x=("FP32", [-1, 3]))
    assert not mark.exists()


@pytest.mark.parametrize(
    "line",
    [
        'torch.save(x, "/tmp/mark")',
        'getattr(torch, "sa\\\\166e")(x, "/tmp/mark")',
        'torch.from_file("/etc/passwd", False, 10)',
        'ops.image.write_file("/tmp/mark", x)',
    ],
)
def test_torchscript_that_reaches_for_files_is_refused(load: Any, tmp_path: Path, line: str) -> None:
    path = script(tmp_path, Doubler(), torch.zeros(1, 3))

    def edit(name: str, content: bytes) -> bytes:
        if not name.startswith("code/") or not name.endswith(".py"):
            return content
        return content.replace(b"    return", f"    {line}\n    return".encode())

    rewrite(path, edit)
    with pytest.raises(UnacceptableError, match="its code"):
        load(x=("FP32", [-1, 3]))


def named_target(graph: Any) -> None:
    node = graph["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.os.system"


def operator_of_another(graph: Any) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.load_library"


def file_reader(graph: Any) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def evaluated_extent(graph: Any) -> None:
    text = json.dumps(graph).replace(
        "Symbol('s77', positive=True, integer=True)", "__import__('os').system('touch /tmp/mark')"
    )
    graph.clear()
    graph.update(json.loads(text))
    values = graph["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    values[0] = {"as_expr": {"expr_str": "__import__('os').system('true')", "hint": None}}


def extent_with_an_attribute(graph: Any) -> None:
    values = graph["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    values[0] = {"as_expr": {"expr_str": "Symbol.__class__('s', (), {})", "hint": None}}


def program_in_a_name(graph: Any) -> None:
    text = json.dumps(graph).replace('"x"', "\"x=__import__('os').system('true')\"")
    graph.clear()
    graph.update(json.loads(text))


def imported_enumeration(graph: Any) -> None:
    signature = graph["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps({"__enum__": True, "fqn": "antigravity:x", "name": "y"})
    signature["out_spec"] = json.dumps(
        [1, {"type": "builtins.dict", "context": context, "children_spec": []}]
    )


def imported_factory(graph: Any) -> None:
    signature = graph["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps({"default_factory_module": "antigravity", "default_factory_name": "x"})
    tree = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    signature["out_spec"] = json.dumps([1, tree])


@pytest.mark.parametrize(
    "change",
    [
        named_target,
        operator_of_another,
        file_reader,
        evaluated_extent,
        extent_with_an_attribute,
        program_in_a_name,
        imported_enumeration,
        imported_factory,
    ],
)
def test_a_graph_that_reaches_beyond_operators_is_refused(
    load: Any, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    changed_graph(path, change)
    with pytest.raises(UnacceptableError, match=r"its graph|takes or gives"):
        load()


def test_guards_are_not_evaluated(load: Any, tmp_path: Path) -> None:
    path = export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    mark = tmp_path / "mark"
    changed_graph(path, lambda graph: graph.update(guards_code=[f"open({str(mark)!r}, 'w')"]))
    model = load()
    assert model.predict({"x": np.ones((2, 3), np.float32)}, ())["output"].tolist() == [[2, 2, 2]] * 2
    assert not mark.exists()


def test_pickled_examples_are_not_read(load: Any, tmp_path: Path) -> None:
    path = export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    mark = tmp_path / "mark"
    evil = io.BytesIO()
    torch.save((Mark(mark),), evil)
    rewrite(path, lambda name, old: evil.getvalue() if name == "data/sample_inputs/model.pt" else old)
    load()
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/model.so",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/weights/model.pt",
        "models/other.json",
    ],
)
def test_an_archive_with_more_than_weights_and_a_graph_is_refused(
    load: Any, tmp_path: Path, name: str
) -> None:
    path = export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    rewrite(path, lambda _, old: old, **{name: b"x"})
    with pytest.raises(UnacceptableError, match="no graph and no plain weights"):
        load()


def test_pickled_weights_are_refused(load: Any, tmp_path: Path) -> None:
    path = export(tmp_path, Doubler(), torch.zeros(2, 3), shapes={"x": {0: ROWS}})
    rewrite(path, lambda _, old: old.replace(b'"use_pickle": false', b'"use_pickle": true'))
    with pytest.raises(UnacceptableError, match="holds a pickle"):
        load()


def test_what_unpacks_to_more_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/models/model.json", b"{}")
        archive.writestr("model/data/weights/weight_0", bytes(2**22))
    runtime = PyTorchRuntime(RuntimeOptions(max_memory=2**20))
    with pytest.raises(UnacceptableError, match="more than this server has for models"):
        runtime.load(tmp_path)


def test_several_models_are_named(load: Any, tmp_path: Path) -> None:
    export(tmp_path, Doubler(), torch.zeros(1, 3))
    script(tmp_path, Doubler(), torch.zeros(1, 3))
    with pytest.raises(UnacceptableError, match=r"several models: model\.pt, model\.pt2"):
        load()


def test_a_device_is_chosen_or_said_to_be_missing() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(UnacceptableError, match="no device 'abacus'"):
        choose_device("abacus")
