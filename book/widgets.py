"""A notebook's widgets as a page without a kernel can show them: their first state, and a note that says so.

Left alone, MyST-NB would fetch the scripts that draw a widget from another host, and it would not move even
then. What `ipywidgets` stores beside the notebook is enough: the values of the controls, and the outputs that
they had when it was saved.
"""

import json
from collections.abc import Iterator
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
MODEL = "IPY_MODEL_"
NOTE = "A widget, which moves only where the notebook runs. Here it stands at its first state"


def still(content: bytes) -> bytes:
    """A notebook's file whose widgets are replaced by what they show; one without any is returned as it is.

    Args:
        content: the notebook's JSON.
    """
    if VIEW.encode() not in content and STATE.encode() not in content:
        return content
    notebook = json.loads(content)
    models = notebook["metadata"].pop("widgets", {}).get(STATE, {}).get("state", {})
    for cell in notebook["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [shown for output in cell["outputs"] for shown in without(output, models)]
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode()


def without(output: dict[str, Any], models: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands in the place of an output: itself where it is no widget."""
    view = output.get("data", {}).get(VIEW)
    if view is None:
        return [output]
    parts = list(parts_of(view["model_id"], models, set()))
    values = ", ".join(text for text in map(value_of, parts) if text)
    note = {
        "output_type": "display_data",
        "metadata": {},
        "data": {"text/markdown": f"*{NOTE}{': ' + values if values else ''}.*"},
    }
    outputs = [shown for part in parts for shown in part.get("outputs", ())]
    if outputs or values:
        return [note, *outputs]
    others = {mime: form for mime, form in output["data"].items() if mime != VIEW}
    return [note, {**output, "data": others}] if others else [note]


def parts_of(model: str, models: dict[str, Any], seen: set[str]) -> Iterator[dict[str, Any]]:
    """The state of a widget, and those of the widgets in it, each once."""
    if model in seen or model not in models:
        return
    seen.add(model)
    state = models[model]["state"]
    yield state
    for child in state.get("children", ()):
        yield from parts_of(child.removeprefix(MODEL), models, seen)


def value_of(state: dict[str, Any]) -> str:
    """`beta = 0.5` of a control; empty of what has no value."""
    value, name = state.get("value"), str(state.get("description", "")).strip().rstrip(":")
    if value is None or isinstance(value, list | dict) or "<" in str(value):
        return ""
    return f"{name} = {value}" if name else str(value)
