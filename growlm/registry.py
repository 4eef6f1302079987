"""Registries: the files of a folder are its members; other packages join through entry points."""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoints
from importlib.metadata import entry_points as installed_entry_points
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_args, get_type_hints

from growlm.errors import GrowlmError, unknown_name
from growlm.summaries import class_summary

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

T = TypeVar("T")
_REST = inspect.Parameter.VAR_KEYWORD


@cache
def entry_points(group: str) -> EntryPoints:
    """Return the entry points of a group; what is installed is read once, as it takes tens of milliseconds."""
    return installed_entry_points(group=group)


@cache
def _files_of(package: str) -> frozenset[str]:
    """Return the names of a package's public files; the folder is read once."""
    path = importlib.import_module(package).__path__
    return frozenset(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))


class Registry(Generic[T]):
    """Members of one sort, found by name and imported only when asked for.

    A file ``<package>/<name>.py`` is the member ``<name>``; it holds exactly one concrete subclass of ``parent``
    of its own. The file that holds ``parent`` itself, those named in ``shared`` and those whose names begin with ``_``
    are no members. A file named in ``tables`` holds several members in its mapping ``MEMBERS``, by name. Another
    package adds a member with an entry point in the group ``growlm.<folder>``.

    Args:
        what: what a member is called in messages, such as ``"module kind"``.
        package: dotted name of the folder's package.
        parent: dotted path ``module:Class`` of the class that every member extends (resolved on first use).
        shared: further public files of the folder that are no members.
        tables: files of several members each.
    """

    def __init__(
        self, what: str, package: str, parent: str, shared: tuple[str, ...] = (), tables: tuple[str, ...] = ()
    ) -> None:
        self.what = what
        self.package = package
        self._parent = parent
        self._shared = {parent.partition(":")[0].rpartition(".")[2], *shared, *tables}
        self._table_files = tables

    def names(self) -> list[str]:
        """List the members' names, sorted; of the members only those of a table are imported."""
        return sorted({*self._files(), *self._tables(), *self._entry_points()})

    def get(self, name: str) -> type[T]:
        """Import one member.

        Args:
            name: its name.

        Returns:
            The member's class.

        Raises:
            GrowlmError: if there is no such member, or what is there is no member.
        """
        if name in self._files():
            return self._from_file(name)
        if name in self._tables():
            return self._tables()[name]
        plugins = self._entry_points()
        if name not in plugins:
            raise unknown_name(self.what, name, self.names())
        member = plugins[name].load()
        if not (inspect.isclass(member) and issubclass(member, self._parent_class())):
            raise GrowlmError(
                f"{self.what} {name!r} from entry point {plugins[name].value!r} is not a "
                f"{self._parent_class().__name__}; fix or uninstall the package that declares it"
            )
        return member

    def build(self, name: str, options: Mapping[str, Any] | None = None) -> T:
        """Create a member from its name and its constructor's arguments.

        Args:
            name: the member's name.
            options: constructor arguments, checked against its signature's types.

        Returns:
            The new object.

        Raises:
            GrowlmError: for an unknown name, an unknown option (the nearest is offered) or a value of the wrong type.
        """
        member = self.get(name)
        known = self.options(name)
        for key in options or {}:
            if key not in known:
                raise unknown_name(f"option of {self.what} {name!r}", key, known)
        for key, parameter in known.items():
            if parameter.default is parameter.empty and key not in (options or {}):
                raise GrowlmError(f"{self.what} {name!r} needs its option {key!r}: give it a value")
        return _typed_call(member, dict(options or {}), f"{self.what} {name!r}")

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """List a member's constructor arguments by name; its ``**options`` mean those of the class it extends."""
        parameters: dict[str, inspect.Parameter] = {}
        for constructor in _constructors(self.get(name)):
            own = list(inspect.signature(constructor).parameters.values())[1:]
            for parameter in own:
                if parameter.kind is not _REST:
                    parameters.setdefault(parameter.name, parameter)
        return parameters

    def summary(self, name: str) -> str:
        """Return the first line of a member's docstring, from its source alone unless another package holds it.

        Args:
            name: the member's name.

        Returns:
            The line.

        Raises:
            GrowlmError: if there is no such member.
        """
        if name not in self._files():
            return (inspect.getdoc(self.get(name)) or "").split("\n", 1)[0]
        folder = Path(next(iter(importlib.import_module(self.package).__path__)))
        return class_summary(folder / f"{name}.py", self._parent.rpartition(":")[2])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def _files(self) -> frozenset[str]:
        return _files_of(self.package) - self._shared

    def _tables(self) -> dict[str, type[T]]:
        modules = [importlib.import_module(f"{self.package}.{name}") for name in self._table_files]
        return {name: member for module in modules for name, member in module.MEMBERS.items()}

    def _entry_points(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self.package)}

    def _parent_class(self) -> type[T]:
        module, _, attribute = self._parent.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def _from_file(self, name: str) -> type[T]:
        module = importlib.import_module(f"{self.package}.{name}")
        parent = self._parent_class()
        members = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, parent)
            and value.__module__ == module.__name__
            and not inspect.isabstract(value)
        ]
        if len(members) != 1:
            raise TypeError(f"{module.__name__} must hold one {parent.__name__}, found {len(members)}")
        return members[0]


@contextmanager
def plain_values() -> Iterator[None]:
    """Keep the values of ``dict`` and ``Any`` options as they are while jsonargparse parses, for a ``with`` block.

    Without it jsonargparse imports, and later builds, whatever such a value names under ``class_path``.
    """
    import jsonargparse._typehints

    module: Any = jsonargparse._typehints  # no public setting stops the import
    resolve = module.adapt_classes_any
    module.adapt_classes_any = lambda value, *_arguments, **_options: value
    try:
        yield
    finally:
        module.adapt_classes_any = resolve


def _constructors(member: type) -> Iterator[Any]:
    """Yield a class's constructor, and as long as each passes on ``**options`` the one that it extends."""
    for cls in member.__mro__[:-1]:
        if "__init__" in vars(cls):
            yield cls.__init__  # type: ignore[misc]
            if _REST not in {parameter.kind for parameter in inspect.signature(cls.__init__).parameters.values()}:  # type: ignore[misc]
                return


def _typed_call(member: type[T], options: dict[str, Any], label: str) -> T:
    from jsonargparse import ArgumentError

    constructors = [*_constructors(member)][::-1]  # a class's own options count before those of the class it extends
    hints = {key: hint for constructor in constructors for key, hint in get_type_hints(constructor).items()}
    for key, value in options.items():
        # jsonargparse lets null through whatever the type
        if value is None and type(None) not in get_args(hints.get(key, Any)) and hints.get(key, Any) is not Any:
            raise _wrong_type(label, key, value, hints)
    if all(_is_plain(value, hints.get(key)) for key, value in options.items()):
        return member(**options)  # to ask jsonargparse takes milliseconds
    try:
        with plain_values():
            config = _parser(cast(Hashable, member)).parse_object({"init": options})
    except (ArgumentError, TypeError, ValueError) as error:
        wrong = re.search(r'Parser key "init\.(\w+)', str(error))
        if wrong and wrong[1] in options:
            raise _wrong_type(label, wrong[1], options[wrong[1]], hints) from error
        raise GrowlmError(f"{label}: {' '.join(str(error).split())}") from error
    return member(**config.init.as_dict())


def _is_plain(value: object, hint: Any) -> bool:
    """Return whether a value is a number, text or nothing of just the type that is expected."""
    expected = set(get_args(hint)) if isinstance(hint, UnionType) else {hint}
    if value is None:
        return NoneType in expected
    return expected - {NoneType} == {type(value)} and (type(value) in (bool, int, float) or hint is str)


@cache
def _parser(member: Any) -> "ArgumentParser":
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(member, "init", fail_untyped=False)
    return parser


def _wrong_type(label: str, key: str, value: object, hints: Mapping[str, Any]) -> GrowlmError:
    hint = hints.get(key, Any)
    expected = hint.__name__ if inspect.isclass(hint) and not get_args(hint) else str(hint).replace("typing.", "")
    return GrowlmError(
        f"{label}: option {key!r} is {json.dumps(value, default=str)}, expected {expected.replace('None', 'null')}"
    )


module_kinds: Registry[Any] = Registry(
    "module kind", "growlm.modules", "growlm.modules.kind:ModuleKind", shared=("directions", "context", "site")
)
methods: Registry[Any] = Registry("method", "growlm.methods", "growlm.methods.method:Method", shared=("importance",))
importance_measures: Registry[Any] = Registry(
    "importance measure",
    "growlm.methods.importance",
    "growlm.methods.importance.measure:ImportanceMeasure",
    shared=("running", "units"),
)
skills: Registry[Any] = Registry(
    "skill", "growlm.skills", "growlm.skills.skill:Skill", shared=("metric", "procedural"), tables=("composites",)
)
routers: Registry[Any] = Registry(
    "router",
    "growlm.routing",
    "growlm.routing.router:Router",
    shared=("gates", "prompts", "turns", "update"),
)
answer_metrics: Registry[Any] = Registry(
    "metric", "growlm.metrics.answers", "growlm.metrics.answers.answer_metric:AnswerMetric"
)
exporters: Registry[Any] = Registry("export format", "growlm.export", "growlm.export.exporter:Exporter")
