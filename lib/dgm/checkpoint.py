"""One safetensors file for a whole tree of state: written atomically, read without pickle.

A tree is made of dicts, lists and tuples; its leaves are tensors, numbers, strings, booleans and None, which
is what the `state_dict()` of modules, optimisers and schedulers returns. The tensors become the file's
tensors, named by their path ("model/layers.0.weight"); all else becomes JSON in its metadata. Nothing in the
file is ever executed, so a checkpoint from a stranger can be read safely.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

__all__ = ["check_tree", "load_tree", "save_tree"]

_FORMAT = "dgm-tree-1"


def save_tree(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a tree to one file, so that at every moment the path holds either the old file or the new one.

    The bytes go to a temporary file in the same folder, are forced to the disk, and take the name in one
    step. A killed process may leave the temporary file (".name.tmp") behind; the next save overwrites it.

    Args:
        path: the file; its folder must exist. Two processes must not write one path at the same time.
        tree: dicts (keys str or int), lists, tuples; leaves tensors, numbers, strings, booleans, None.
    Raises:
        TypeError: the tree holds something else, named by its path.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    skeleton = _encode(tree, "", tensors)
    data = save(tensors, metadata={"format": _FORMAT, "tree": json.dumps(skeleton)})
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def check_tree(tree: Any) -> None:
    """Find out whether `save_tree` can save a tree, without writing anything.

    Args:
        tree: what would be given to `save_tree`.
    Raises:
        TypeError: as `save_tree` would raise.
    """
    _encode(tree, "", {})


def load_tree(path: str | os.PathLike[str]) -> Any:
    """Read what `save_tree` wrote; tensors come to the CPU, bit for bit, in the memory layout that they had.

    Args:
        path: the file.
    Returns:
        The tree.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or `save_tree` did not write it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(f"save_tree did not write {path}; give another path")
            # clone: torch's own, aligned memory, as a tensor that was never saved would have
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return _decode(json.loads(metadata["tree"]), tensors)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no checkpoint ({error}); give another path") from error


def _encode(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return `node` as JSON: plain leaves as they are, {"tag": ...} for the rest; collect the tensors."""
    if node is None or isinstance(node, bool | str):
        return node
    if isinstance(node, int | float):
        return int(node) if isinstance(node, int) else float(node)
    if isinstance(node, Tensor):
        # Biggest stride first is the order in memory, which safetensors cannot keep by itself. It matters:
        # a fused optimiser steps through weights and moments in memory order.
        strides = node.stride()
        axes = sorted(range(node.ndim), key=lambda axis: -strides[axis])
        name = path if path not in tensors else f"{path}#{len(tensors)}"
        tensors[name] = node.detach().permute(axes).to("cpu", copy=True).contiguous()
        return {"tensor": name} if axes == sorted(axes) else {"tensor": name, "axes": axes}
    if isinstance(node, dict):
        if not all(isinstance(key, str | int) for key in node):
            raise TypeError(f"{path or 'the tree'} has keys that are neither str nor int: {list(node)[:5]}")
        tag = "counter" if isinstance(node, Counter) else "dict"  # a Counter: torch's MultiStepLR keeps one
        return {tag: [[key, _encode(value, _join(path, key), tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        tag = "list" if isinstance(node, list) else "tuple"
        return {tag: [_encode(value, _join(path, i), tensors) for i, value in enumerate(node)]}
    raise TypeError(
        f"{path or 'the tree'} is a {type(node).__name__}, which cannot be saved without pickle; "
        "keep tensors, numbers, strings, lists and dicts in a state_dict"
    )


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        tensor = tensors[node["tensor"]]
        if "axes" in node:
            inverse = sorted(range(tensor.ndim), key=lambda axis: node["axes"][axis])
            tensor = tensor.permute(inverse)
        return tensor
    ((tag, items),) = node.items()
    if tag in ("dict", "counter"):
        mapping = {key: _decode(value, tensors) for key, value in items}
        return Counter(mapping) if tag == "counter" else mapping
    values = [_decode(value, tensors) for value in items]
    return values if tag == "list" else tuple(values)


def _join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk too, where the system can do that to a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
