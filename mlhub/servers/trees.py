"""Decision trees from files that nobody has reason to trust.

scikit-learn keeps a tree's nodes in a compiled type that follows the indices it was given without looking.
So skops does not trust it by itself. Here it is loaded, and every index is looked at before any is followed.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from sklearn.tree._tree import Tree

from mlhub.common.errors import UnacceptableError

TRUSTED: Final = ("sklearn.tree._tree.Tree",)
"""The type, by the name that skops knows."""
_LEAF: Final = -1


def check(found: Iterable[Any]) -> None:
    """Look at all trees among the parts of an estimator.

    Raises:
        UnacceptableError: one of them would lead out of its own nodes, or in a circle.
    """
    for part in found:
        if isinstance(part, Tree) and not _is_sound(part):
            raise UnacceptableError("The model holds a decision tree that is damaged.", code="bad_model")


def _is_sound(tree: Any) -> bool:
    count = tree.node_count
    if not 0 < count <= tree.capacity or tree.value.shape[0] < count:
        return False
    left, right = tree.children_left, tree.children_right
    inner = left != _LEAF
    nodes = np.arange(count)
    # A node's children come after it, in every tree that scikit-learn grows: so there is no circle.
    return bool(
        (inner == (right != _LEAF)).all()
        and (left[inner] > nodes[inner]).all()
        and (right[inner] > nodes[inner]).all()
        and (left < count).all()
        and (right < count).all()
        and ((tree.feature[inner] >= 0) & (tree.feature[inner] < tree.n_features)).all()
    )


def parts(root: object) -> Iterator[Any]:
    """Find the objects that an object holds, however deep; itself among them."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple | set):
            waiting += item
        elif isinstance(item, np.ndarray):
            waiting += item.ravel().tolist() if item.dtype.kind == "O" else ()
        elif not isinstance(item, Tree) and hasattr(item, "__dict__"):
            waiting += vars(item).values()
