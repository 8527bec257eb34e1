"""The names that a function takes from outside, found in its syntax tree (so: alike under every Python version)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from qmtl_sdk.strategy.code.errors import CodeIdentityError
from qmtl_sdk.strategy.code.escapes import (
    is_named_access,
    named_attribute,
    refuse_by_name,
    refuse_clock_text,
    refuse_escape,
    refuse_outward,
)

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_CONSTRUCTORS: Final = frozenset({"__init__", "__post_init__"})
# What pandas objects are labelled with. A captured one is refused, so what a function labels it has made itself.
_LABELS: Final = frozenset({"columns", "index", "name", "names"})
_TYPE_ONLY: Final = frozenset({"annotation", "returns", "type_params", "type_comment"})


@dataclass(frozen=True, slots=True)
class Use:
    """Record one use of an outside name with the attributes taken from it: ``np.random.rand`` is np + (random, rand).

    ``stored``: the use assigns to or deletes from what it names.
    """

    name: str
    attributes: tuple[str, ...] = ()
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """Name what an import inside the function binds: a module, or a member of it. ``level``: dots of a relative one."""

    module: str
    member: str | None
    level: int


@dataclass(frozen=True, slots=True)
class Outside:
    """Hold all that a function takes from outside: its uses, and the imports in its own body.

    ``refusals``: what it does to objects whose origin the source does not tell; raise them once names are resolved,
    so that a more precise refusal comes first.
    """

    uses: tuple[Use, ...]
    imports: dict[str, Imported]
    refusals: tuple[CodeIdentityError, ...] = ()


def outside(tree: ast.AST, receiver: str | None = None) -> Outside:
    """Return what the function ``tree`` takes from outside; ``receiver`` is a parameter to count as outside too.

    Raises CodeIdentityError for ``global``, for a class in the body, and for attributes that lead out of what can be
    followed. The tree's own defaults, decorators and annotations are not looked at: they ran before the function.
    """
    finder = _Finder(getattr(tree, "name", ""))
    scope = _Scope()
    finder.enter(tree, scope)
    bound = scope.bound - scope.outer - {receiver}
    finder.refuse_local(scope, bound - set(finder.imports))
    uses = tuple(dict.fromkeys(use for use in scope.uses if use.name not in bound))
    return Outside(uses, finder.imports, tuple(finder.refusals))


def first_parameter(tree: ast.AST) -> str | None:
    """Return the name of the first positional parameter of a function, None when it has none."""
    if not isinstance(tree, _SCOPES):
        return None
    names = [arg.arg for arg in (*tree.args.posonlyargs, *tree.args.args)]
    return names[0] if names else None


@dataclass(slots=True)
class _Scope:
    bound: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)  # of what is bound, the parameters
    outer: set[str] = field(default_factory=set)  # declared nonlocal: bound further out
    uses: list[Use] = field(default_factory=list)
    function: _Scope | None = None  # of a comprehension: where its walrus binds


class _Finder:
    """Walk one function; ``imports`` collects what the import statements in it bind."""

    def __init__(self, holder: str) -> None:
        self.imports: dict[str, Imported] = {}
        self.refusals: list[CodeIdentityError] = []
        self._holder = holder

    def _note(self, check: Callable[[str], None], name: str) -> None:
        try:
            check(name)
        except CodeIdentityError as refusal:
            self.refusals.append(refusal)

    def refuse_local(self, scope: _Scope, bound: set[str]) -> None:
        """Refuse what the uses of local names do, where the name may stand for any object, a captured one too."""
        for use in scope.uses:
            if use.name not in bound:
                continue
            for attribute in use.attributes:
                self._note(refuse_outward, attribute)
            labels = use.name not in scope.given and use.attributes[-1:] and use.attributes[-1] in _LABELS
            if use.stored and use.attributes and not labels and self._holder not in _CONSTRUCTORS:
                self._note(_refuse_attribute_store, ".".join((use.name, *use.attributes)))

    def enter(self, tree: ast.AST, scope: _Scope) -> None:
        if isinstance(tree, ast.Lambda):
            self._parameters(tree.args, scope)
            self.visit(tree.body, scope)
        elif isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
            self._parameters(tree.args, scope)
            self.visit_all(tree.body, scope)
        else:
            raise TypeError(f"{type(tree).__name__} is not a function")

    def visit_all(self, nodes: Iterable[ast.AST], scope: _Scope) -> None:
        for node in nodes:
            self.visit(node, scope)

    def visit(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, _SCOPES):
            self._function(node, scope)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node, scope)
        elif is_named_access(node):
            self._named_access(node, scope)
            self._children(node, scope, skipped="func")
        elif isinstance(node, ast.Name):
            self._name(node, scope)
        elif isinstance(node, ast.Attribute):
            self._attribute(node, scope)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.Global | ast.ClassDef):
            _refuse_statement(node)
        else:
            self._plain(node, scope)

    def _plain(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._note(refuse_clock_text, node.value)
        elif isinstance(node, ast.MatchClass):
            for name in node.kwd_attrs:
                refuse_escape(name, self._holder)
        if isinstance(node, ast.Nonlocal):
            scope.outer.update(node.names)
            scope.uses.extend(Use(name, stored=True) for name in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            scope.bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            scope.bound.add(node.rest)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            self._stored_item(node, scope)
        elif isinstance(node, ast.NamedExpr) and scope.function is not None:
            scope.function.bound.add(node.target.id)
        self._children(node, scope)

    def _children(self, node: ast.AST, scope: _Scope, skipped: str = "") -> None:
        for name, value in ast.iter_fields(node):
            if name in _TYPE_ONLY or name == skipped:
                continue
            children = value if isinstance(value, list) else [value]
            self.visit_all((child for child in children if isinstance(child, ast.AST)), scope)

    def _parameters(self, arguments: ast.arguments, scope: _Scope) -> None:
        single = [arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None]
        scope.given = {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *single)}
        scope.bound |= scope.given

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: _Scope) -> None:
        defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        self.visit_all(defaults, scope)
        if not isinstance(node, ast.Lambda):
            (scope.function or scope).bound.add(node.name)
            self.visit_all(node.decorator_list, scope)
        inner = _Scope()
        self.enter(node, inner)
        self._leave(inner, scope)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: _Scope) -> None:
        self.visit(node.generators[0].iter, scope)  # evaluated outside
        inner = _Scope(function=scope.function or scope)
        for position, generator in enumerate(node.generators):
            self.visit(generator.target, inner)
            self.visit_all(generator.ifs, inner)
            if position:
                self.visit(generator.iter, inner)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.visit_all(results, inner)
        self._leave(inner, scope)

    def _name(self, node: ast.Name, scope: _Scope) -> None:
        if isinstance(node.ctx, ast.Load):
            self._note(refuse_by_name, node.id)
            scope.uses.append(Use(node.id))
        else:
            scope.bound.add(node.id)

    def _attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        chain = _chain(node)
        for name in _attribute_names(node):
            refuse_escape(name, self._holder)
        if chain is None:
            for name in _attribute_names(node):
                self._note(refuse_outward, name)
            if not isinstance(node.ctx, ast.Load):
                self._note(_refuse_attribute_store, node.attr)
                self._stored_item(node, scope)
            self._children(node, scope)
            return
        name, attributes = chain
        stored = not isinstance(node.ctx, ast.Load)
        scope.uses.append(Use(name, attributes, stored))

    def _stored_item(self, node: ast.Subscript | ast.Attribute, scope: _Scope) -> None:
        target: ast.AST = node.value
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name):
            scope.uses.append(Use(target.id, stored=True))

    def _named_access(self, node: ast.Call, scope: _Scope) -> None:
        scope.uses.extend(Use(name.id) for name in [node.func] if isinstance(name, ast.Name))
        name = named_attribute(node)
        if name is None:
            self._note(refuse_by_name, "getattr")
        else:
            refuse_escape(name, self._holder)
            self._note(refuse_outward, name)

    def _leave(self, inner: _Scope, scope: _Scope) -> None:
        bound = inner.bound - inner.outer
        self.refuse_local(inner, bound - set(self.imports))
        scope.uses.extend(use for use in inner.uses if use.name not in bound)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                found = Imported(node.module or "", alias.name, node.level)
            else:
                # `import a.b` binds a, `import a.b as c` binds b.
                found = Imported(alias.name, None if alias.asname else "", 0)
            name = alias.asname or alias.name.partition(".")[0]
            if self.imports.setdefault(name, found) != found:
                mend = "give each import a name of its own"
                raise CodeIdentityError(f"name {name!r}", "is imported twice as two things", mend)


def _refuse_attribute_store(name: str) -> None:
    mend = "make a new object instead (dataclasses.replace): what is set may outlive the call"
    raise CodeIdentityError(f"attribute {name!r}", "is written to", mend)


def _chain(node: ast.Attribute) -> tuple[str, tuple[str, ...]] | None:
    names: list[str] = []
    current: ast.AST = node
    while isinstance(current, ast.Attribute):
        names.append(current.attr)
        current = current.value
    return (current.id, tuple(reversed(names))) if isinstance(current, ast.Name) else None


def _attribute_names(node: ast.Attribute) -> Iterable[str]:
    current: ast.AST = node
    while isinstance(current, ast.Attribute):
        yield current.attr
        current = current.value


def _refuse_statement(node: ast.Global | ast.ClassDef) -> None:
    if isinstance(node, ast.Global):
        names = ", ".join(node.names)
        mend = "keep state in a fold node, and pass everything else as an argument"
        raise CodeIdentityError(f"statement 'global {names}'", "reaches state that outlives the call", mend)
    raise CodeIdentityError(f"class {node.name!r}", "is made inside the function", "define it at the top of the module")
