"""What the documentation says of saving models makes models that are served."""

import re
from pathlib import Path
from typing import Final

import pytest

from mlhub.servers.frameworks import FRAMEWORKS, create_runtime
from mlhub.servers.options import RuntimeOptions

TEXT: Final = (Path(__file__).parents[3] / "docs/models.md").read_text()
SECTIONS: Final = {
    "scikit-learn": "sklearn",
    "Missing values": "sklearn",
    "PyTorch": "pytorch",
    "Keras": "keras",
    "TensorFlow": "tensorflow",
}
"""Names of frameworks by their headings."""
SNIPPETS: Final = [
    (SECTIONS[heading], code)
    for heading, section in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    for code in re.findall(r"```python\n(.*?)```", section, re.DOTALL)
]


def test_every_framework_has_a_snippet() -> None:
    assert {framework for framework, _ in SNIPPETS} == set(FRAMEWORKS)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("framework", "code"), SNIPPETS, ids=[framework for framework, _ in SNIPPETS])
def test_what_a_snippet_saves_is_served(
    framework: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"docs/models.md ({framework})", "exec"), {"__name__": "snippet"})  # noqa: S102 (our own)
    loaded = create_runtime(framework, RuntimeOptions(max_memory=2**28)).load(tmp_path)
    assert loaded.signature.batchable
