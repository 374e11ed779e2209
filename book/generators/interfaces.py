"""The reference of dgm as MyST pages, from syntax trees: nothing is imported, so torch need not be loaded.

A page for every package and for every module that is in none. What a package exports stands under the name
by which one imports it (`dgm.vae.elbo`); the module in which it is written (`dgm.vae.bounds.elbo`) leads
there too. Docstrings are read as Markdown with formulas in dollars.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from coursekit.authoring.equations import equations

FOLDER = "reference/dgm"
FRONT = '---\nmyst:\n  enable_extensions: ["colon_fence", "dollarmath", "fieldlist"]\n---\n\n'
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Source", "Equation", "Test")
TITLES = {"Args": "Arguments", "Equation": "Equations", "Test": "Tests"}
SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):[ \t]*(.*)$")
ENTRY = re.compile(
    r"^(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?P<type>\([^)]*\))?\s*:\s+(?P<text>.*)$", re.S
)
# Code spans and formulas, which Markdown must get as they are; between them its signs are taken literally.
VERBATIM = re.compile(
    r"(^```\w+\n.+?\n```$|``.+?``|`[^`\n]+`|\$\$.+?\$\$|\$(?!\s)[^$]+?(?<!\s)\$"
    r"|\*\*(?!\s)[^*]+?(?<!\s)\*\*|(?<![\w*])\*[a-z][a-z ]*\*(?![\w*]))",
    re.S | re.M,
)
# A formula that is a paragraph of its own is set as one, and so is one of some length that begins one.
ALONE = re.compile(r"(?:^|(?<=\n\n))\$(?P<tex>(?!\s)[^$]+?(?<!\s))\$(?P<end>[.,;:]?)(?P<rest>\n\n|\s+\S|$)")
LONG = 70  # characters of TeX that no line of a telephone holds
INDENT = "    "
ALIGNED = re.compile(r"^(?P<name>\w+)[ ]{2,}(?P<text>\S.*)$")
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Entry:
    """A public name: a function, a class or a constant.

    Args:
        name: without the module's.
        home: module in which it is written, such as `dgm.vae.bounds`.
        public: module by which it is imported, such as `dgm.vae`; `home` where no package exports it.
        node: its definition.
        comment: of a constant, the comment on its line.
    """

    name: str
    home: str
    public: str
    node: Definition | ast.Assign | ast.AnnAssign
    comment: str = ""

    @property
    def path(self) -> str:
        """The name by which one refers to it, such as `dgm.vae.elbo`."""
        return f"{self.public}.{self.name}"

    @property
    def canonical(self) -> str:
        """The name by where it is written, such as `dgm.vae.bounds.elbo`."""
        return f"{self.home}.{self.name}"

    @property
    def doc(self) -> str:
        """Its docstring; empty for a constant."""
        return (ast.get_docstring(self.node) or "") if isinstance(self.node, Definition) else ""


@dataclass
class Module:
    """A module of dgm: its docstring and its public names in the order of the source."""

    name: str
    is_package: bool
    doc: str
    entries: list[Entry] = field(default_factory=list)
    reexports: list[str] = field(default_factory=list)  # names of other packages that `__all__` repeats


def read_modules(lib: Path, package: str = "dgm") -> list[Module]:
    """Every module of a package, parents before children, with its public names.

    Args:
        lib: the folder that holds the package.
        package: its name.

    Returns:
        the modules without names of their own too, packages first.
    """
    trees = {}
    for path in sorted((lib / package).rglob("*.py")):
        parts = path.relative_to(lib).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if not any(p.startswith("_") for p in name.split(".")):
            text = path.read_text(encoding="utf-8")
            trees[name] = (ast.parse(text), is_package, text.splitlines())
    exports = {
        name: (_all(tree), _imported(tree, name))
        for name, (tree, is_package, _) in trees.items()
        if is_package
    }
    public: dict[str, str] = {}  # canonical -> the package that exports it, the innermost first
    for name in sorted(exports, key=lambda n: -n.count(".")):
        names, imported = exports[name]
        for exported in names:
            source = imported.get(exported)
            if source and source.startswith(f"{name}."):
                public.setdefault(f"{source}.{exported}", name)
    modules = []
    for name, (tree, is_package, lines) in trees.items():
        module = Module(name, is_package, ast.get_docstring(tree) or "")
        wanted = _all(tree)
        for defined, node in _defined(tree):
            if wanted and not is_package and defined not in wanted:
                continue
            home = public.get(f"{name}.{defined}", name)
            module.entries.append(Entry(defined, name, home, node, _comment(node, lines)))
        if is_package:
            names, imported = exports[name]
            known = {f"{name}.{part}" for part in names} & set(trees)
            here = {e.name for e in module.entries}
            module.reexports = [
                f"{imported[n]}.{n}"
                for n in names
                if n in imported
                and public.get(f"{imported[n]}.{n}") != name
                and f"{name}.{n}" not in known
                and n not in here
            ]
        modules.append(module)
    return modules


def public_paths(modules: list[Module]) -> dict[str, str]:
    """From every name, by where it is written or by where it is imported, to the one of the reference.

    Methods are included: `dgm.vae.models.VAE.encode` leads to `dgm.vae.VAE.encode`. So are modules.
    """
    paths = {module.name: module.name for module in modules if module.entries or module.is_package}
    for module in modules:
        for entry in module.entries:
            for name in ("", *(f".{m.name}" for m in _methods(entry.node))):
                paths[entry.canonical + name] = paths[entry.path + name] = entry.path + name
    return paths


def page_of(module: str, modules: list[Module]) -> str:
    """The page on which a module stands: its own if it is a package or in none, else its package's."""
    packages = {m.name for m in modules if m.is_package}
    if module in packages or module.rpartition(".")[0].count(".") == 0:
        return module
    return module.rpartition(".")[0]


def pages(root: Path, edition: str) -> dict[str, str]:
    """The reference's pages in the source tree, the same in both editions."""
    labels = {e.label for e in equations(root)}
    made = reference(read_modules(root / "lib"), labels)
    return {f"{FOLDER}/{name}": text for name, text in made.items()}


def reference(modules: list[Module], labels: set[str], top: str = "dgm") -> dict[str, str]:
    """The pages of a package: file name such as `vae.md` to MyST text, and `index.md`.

    Args:
        modules: of `read_modules`.
        labels: of the chapters' equations; a docstring's `Equation:` line links those that are in here.
        top: the name of the whole package.
    """
    paths = public_paths(modules)
    by_page: dict[str, list[Module]] = {}
    for module in modules:
        by_page.setdefault(page_of(module.name, modules), []).append(module)
    made = {}
    for page, members in by_page.items():
        # In the order in which the package's docstring introduces them.
        members[1:] = sorted(members[1:], key=lambda m: _place(m.name.rpartition(".")[2], members[0].doc))
        if page != top:
            made[f"{page.removeprefix(top + '.')}.md"] = _page(page, members, paths, labels)
    made["index.md"] = _index(by_page, top, paths)
    return made


def _place(name: str, doc: str) -> int:
    listed = re.search(rf"^(?:- )?(?:`?\w+`?, )*`?{name}\b", doc, re.M)
    match = listed or re.search(rf"\b{name}\b", doc)
    return match.end() if match else len(doc)


def _index(by_page: dict[str, list[Module]], top: str, paths: dict[str, str]) -> str:
    names = [page for page in by_page if page != top]
    rows = [
        f"| {{doc}}`{page} <{page.removeprefix(top + '.')}>` | {_first_sentence(by_page[page][0].doc)} |"
        for page in names
    ]
    doc = next((m.doc for m in by_page.get(top, [])), "")
    return "\n".join(
        [
            f"{FRONT}# The library {top}\n",
            _module(top),
            markdown(doc, paths, top),
            "\n## Packages and modules\n",
            "| Name | What it holds |\n|---|---|",
            *rows,
            "",
            "```{toctree}\n:hidden:\n",
            *[page.removeprefix(f"{top}.") for page in names],
            "```\n",
        ]
    )


def _page(page: str, members: list[Module], paths: dict[str, str], labels: set[str]) -> str:
    head = members[0]
    out = [f"{FRONT}# {page}\n", _module(page), markdown(head.doc, paths, page), ""]
    if head.reexports:
        links = ", ".join(f"{{py:obj}}`{paths.get(n, n)}`" for n in head.reexports)
        out += [f"Exported here too: {links}.", ""]
    out += _entries(head, paths, labels)
    for module in members[1:]:
        if not module.entries:
            continue
        out += [f"## {module.name.rpartition('.')[2]}\n", _module(module.name)]
        out += [markdown(module.doc, paths, page), ""]
        out += _entries(module, paths, labels)
    return "\n".join(out).rstrip() + "\n"


def _module(name: str) -> str:
    """Makes a module known; the sidebar and the page's contents lead to it, so the index need not."""
    return f"```{{py:module}} {name}\n:no-index-entry:\n```\n"


def _entries(module: Module, paths: dict[str, str], labels: set[str]) -> list[str]:
    return [part for entry in module.entries for part in (describe(entry, paths, labels), "")]


def describe(entry: Entry, paths: dict[str, str], labels: set[str]) -> str:
    """One name as a directive of Sphinx's Python domain, with its methods."""
    node = entry.node
    options = [f":module: {entry.public}"]
    if entry.canonical != entry.path:
        options.append(f":canonical: {entry.canonical}")
    if isinstance(node, ast.FunctionDef):
        body = body_of(entry.doc, paths, labels, entry.public)
        return _directive("py:function", f"{entry.name}{_signature(node)}", options, body, 6)
    if isinstance(node, ast.ClassDef):
        parts = [_bases(node, paths, entry), body_of(entry.doc, paths, labels, entry.public)]
        parts += [_method(m, entry, paths, labels) for m in _methods(node)]
        signature = f"{entry.name}{_constructor(node)}"
        return _directive("py:class", signature, options, "\n\n".join(p for p in parts if p), 7)
    if isinstance(node, ast.AnnAssign):
        options.append(f":type: {ast.unparse(node.annotation)}")
    if entry.canonical == entry.path:  # a constant that no package exports: found by the search
        options += [":no-index-entry:", ":no-contents-entry:"]
    value = ast.unparse(node.value) if node.value is not None else ""
    if value and len(value) <= 80:
        options.append(f":value: {value}")
    comment = f"{markdown(_sentence(entry.comment), paths, entry.public)}" if entry.comment else ""
    return _directive("py:data", entry.name, options, comment, 6)


def body_of(doc: str, paths: dict[str, str], labels: set[str], package: str) -> str:
    """A docstring as Markdown: its text, then its sections as a list of fields."""
    text, sections = split_sections(doc)
    fields = []
    for title, content in sections:
        shown = TITLES.get(title, title)
        if title == "Args":
            body = "\n".join(f"- {_argument(item, paths, package)}" for item in _items(content))
        elif title == "Raises":
            body = "\n".join(f"- {_raised(item, paths, package)}" for item in _items(content))
        elif title == "Equation":
            targets = [t.strip().strip("`").rstrip(".") for t in content.replace("\n", " ").split(",")]
            body = ", ".join(f"{{eq}}`{t}` `{t}`" if t in labels else f"`{t}`" for t in targets if t)
        elif title == "Test":
            targets = [t.strip().strip("`").rstrip(".") for t in content.replace("\n", " ").split(",")]
            body = ", ".join(f"`{t}`" for t in targets if t)
        else:
            body = markdown(content, paths, package)
        fields.append(f":{shown}:\n{textwrap.indent(body, '    ')}")
    return "\n\n".join([p for p in (markdown(text, paths, package), "\n".join(fields)) if p])


def split_sections(doc: str) -> tuple[str, list[tuple[str, str]]]:
    """A docstring in Google's style: its text, and its sections in order, dedented."""
    text: list[str] = []
    sections: list[tuple[str, list[str]]] = []
    for line in doc.splitlines():
        match = SECTION.match(line)
        if match:
            sections.append((match[1], [match[2]] if match[2] else []))
        elif sections and (line.startswith((" ", "\t")) or not line.strip()):
            sections[-1][1].append(line)
        elif sections:  # text after a section
            sections.append(("", [line])) if sections[-1][0] else sections[-1][1].append(line)
        else:
            text.append(line)
    found = []
    for title, lines in sections:
        first, rest = lines[:1], lines[1:]
        if first and not first[0].startswith(" "):
            content = "\n".join([first[0], textwrap.dedent("\n".join(rest))])
        else:
            content = textwrap.dedent("\n".join(lines))
        if title:
            found.append((title, content.strip()))
        else:
            text.append("\n" + content.strip())
    return "\n".join(text).strip(), found


def markdown(text: str, paths: dict[str, str], package: str) -> str:
    """Docstring text for MyST: signs of Markdown outside code and formulas escaped, names linked."""
    return "".join(
        _span(part, paths, package) if i % 2 else _escape(part)
        for i, part in enumerate(VERBATIM.split(ALONE.sub(_displayed, _lists(text))))
    )


def _displayed(match: re.Match[str]) -> str:
    tex, rest = " ".join(match["tex"].split()), match["rest"]
    if rest.strip() and len(tex) < LONG:
        return match[0]
    return f"$$ {tex}{match['end']} $$" + (f"\n\n{rest.strip()}" if rest.strip() else rest)


def _span(span: str, paths: dict[str, str], package: str) -> str:
    if span.startswith("```"):
        return span
    if not span.startswith("`"):
        return re.sub(r"\s*\n\s*", " ", span)
    code = span.strip("`")
    for name in (code, f"{package}.{code}"):
        if name in paths and re.fullmatch(r"[\w.]+", code):
            return f"{{py:obj}}`{code} <{paths[name]}>`"
    return span


def _escape(text: str) -> str:
    bulleted = re.sub(r"^(\s*)\\\*(?= )", r"\1*", re.sub(r"([*\[\]<])", r"\\\1", text), flags=re.M)
    return bulleted.replace("$", r"\$").replace("->", "→")


def _lists(text: str) -> str:
    """Two columns of plain text, `name   what it is`, as a list; what is indented, as a listing."""
    blocks = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if not lines or not ALIGNED.match(lines[0]):
            blocks.append(_listing(lines))
            continue
        items: list[str] = []
        for line in lines:
            match = ALIGNED.match(line)
            if match:
                items.append(f"- `{match['name']}`: {match['text']}")
            else:
                items[-1] += f" {line.strip()}"
        blocks.append("\n".join(items))
    return "\n\n".join(blocks)


def _listing(lines: list[str]) -> str:
    """A paragraph whose indented lines are fenced, so that they stay as they are."""
    parts = []
    for indented, group in groupby(lines, key=lambda line: line.startswith(INDENT)):
        text = "\n".join(group)
        if indented:
            text = textwrap.dedent(text)
            text = f"```{_language(text)}\n{text}\n```"
        parts.append(text)
    return "\n\n".join(parts)


def _language(code: str) -> str:
    """Python if it can be read as that."""
    try:
        ast.parse(code)
    except SyntaxError:
        return "text"
    return "python"


def _items(content: str) -> list[str]:
    """The entries of a section: a line that is not indented begins one."""
    items: list[str] = []
    for line in content.splitlines():
        if line.startswith((" ", "\t")) or not items:
            if items:
                items[-1] += f" {line.strip()}"
            elif line.strip():
                items.append(line.strip())
        elif line.strip():
            items.append(line.strip())
    return items


def _argument(item: str, paths: dict[str, str], package: str) -> str:
    match = ENTRY.match(item)
    if not match:
        return markdown(item, paths, package)
    names = ", ".join(f"**`{n.strip()}`**" for n in match["names"].split(","))
    kind = f" {markdown(match['type'], paths, package)}" if match["type"] else ""
    return f"{names}{kind}: {markdown(match['text'], paths, package)}"


def _raised(item: str, paths: dict[str, str], package: str) -> str:
    kind, colon, text = item.partition(":")
    if not colon or not re.fullmatch(r"\w+(, \w+)*", kind):
        return markdown(item, paths, package)
    return f"`{kind}`: {markdown(text.strip(), paths, package)}"


def _directive(name: str, argument: str, options: list[str], body: str, ticks: int) -> str:
    fence = "`" * ticks
    return "\n".join([f"{fence}{{{name}}} {argument}", *options, "", *([body] if body else []), fence])


def _method(node: ast.FunctionDef, entry: Entry, paths: dict[str, str], labels: set[str]) -> str:
    decorators = {ast.unparse(d) for d in node.decorator_list}
    body = body_of(ast.get_docstring(node) or "", paths, labels, entry.public)
    is_property = bool(decorators & {"property", "functools.cached_property", "cached_property"})
    # Sphinx prefixes the class by the nesting, so that only the method's own name stands here.
    options = [f":module: {entry.public}"]
    options += [
        f":{flag}:"
        for decorator, flag in (
            ("classmethod", "classmethod"),
            ("staticmethod", "staticmethod"),
            ("abstractmethod", "abstractmethod"),
        )
        if decorator in decorators
    ]
    if is_property:
        if node.returns is not None:
            options.append(f":type: {ast.unparse(node.returns)}")
        return _directive("py:property", node.name, options, body, 5)
    bound = "staticmethod" not in decorators
    return _directive("py:method", f"{node.name}{_signature(node, bound)}", options, body, 5)


def _signature(node: ast.FunctionDef, bound: bool = False) -> str:
    arguments = node.args
    if bound:
        positional = [*arguments.posonlyargs, *arguments.args]
        drop = positional[0].arg if positional else ""
        arguments = ast.arguments(
            posonlyargs=[a for a in arguments.posonlyargs if a.arg != drop],
            args=[a for a in arguments.args if a.arg != drop],
            vararg=arguments.vararg,
            kwonlyargs=arguments.kwonlyargs,
            kw_defaults=arguments.kw_defaults,
            kwarg=arguments.kwarg,
            defaults=arguments.defaults,
        )
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"({ast.unparse(arguments)}){returns}"


def _constructor(node: ast.ClassDef) -> str:
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return _signature(child, bound=True).removesuffix(" -> None")
    bases = {ast.unparse(b) for b in node.bases}
    decorated = any(ast.unparse(d).startswith("dataclass") for d in node.decorator_list)
    if not decorated and "NamedTuple" not in bases:
        return ""
    keywords = any("kw_only=True" in ast.unparse(d) for d in node.decorator_list)
    fields = []
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            value = ast.unparse(child.value) if child.value is not None else ""
            if "init=False" in value or "ClassVar" in ast.unparse(child.annotation):
                continue
            default = f" = {value}" if value and not value.startswith("field(") else " = ..." if value else ""
            fields.append(f"{child.target.id}: {ast.unparse(child.annotation)}{default}")
    if keywords and fields:
        fields.insert(0, "*")
    return f"({', '.join(fields)})"


def _bases(node: ast.ClassDef, paths: dict[str, str], entry: Entry) -> str:
    names = [ast.unparse(b) for b in node.bases if not ast.unparse(b).startswith(("ABC", "Protocol", "_"))]
    if not names:
        return ""
    shown = [_span(f"`{n}`", paths, entry.public) for n in names]
    return f"Base: {', '.join(shown)}."


def _methods(node: ast.AST) -> list[ast.FunctionDef]:
    """The public methods of a class that say what they do; those of the base class speak for the others."""
    if not isinstance(node, ast.ClassDef):
        return []
    return [
        child
        for child in node.body
        if isinstance(child, ast.FunctionDef)
        and not child.name.startswith("_")
        and (ast.get_docstring(child) or _is_property(child))
    ]


def _is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(d) == "property" for d in node.decorator_list)


def _defined(tree: ast.Module) -> Iterator[tuple[str, Definition | ast.Assign | ast.AnnAssign]]:
    for node in tree.body:
        if isinstance(node, Definition):
            name = node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.id if isinstance(target, ast.Name) else "_"
        else:
            continue
        if not name.startswith("_") and name != "main":
            yield name, node


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _imported(tree: ast.Module, package: str) -> dict[str, str]:
    """From a name to the module that it is imported from; relative imports are made absolute."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            module = ".".join(p for p in ([base] if node.level else []) + [node.module or ""] if p)
            found.update({alias.asname or alias.name: module for alias in node.names})
    return found


def _comment(node: ast.AST, lines: list[str]) -> str:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return ""
    _, hash_, comment = lines[node.lineno - 1].rpartition("  # ")
    if hash_:
        return comment.strip()
    before = lines[node.lineno - 2] if node.lineno >= 2 else ""
    return before.removeprefix("# ").strip() if before.startswith("# ") else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"


def _first_sentence(doc: str) -> str:
    first = doc.strip().split("\n\n")[0].replace("\n", " ")
    return first.replace("|", r"\|")
