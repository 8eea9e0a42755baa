"""Imports Gradio without what this page has no use for: most of its start, and much of its memory, would go there."""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

UNUSED = ("IPython", "matplotlib", "pyarrow")
"""Packages that Gradio, or pandas for it, imports where they are installed; the page never uses them."""
_STUBS = "gradio.component_meta"


def import_gradio(leave_out: Collection[str] = UNUSED) -> None:
    """Import Gradio for a process that serves this page and does nothing else.

    Whenever it is imported, Gradio parses the source of each of its components several times, to keep a type stub for
    editors beside it up to date. Here it neither reads nor writes these. The packages in `leave_out` are as good as not
    installed from now on, also where Gradio asks for them later (for matplotlib at each request), unless they have been
    imported before.
    """
    for name in leave_out:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # the import system's mark for "there is none"
    finder = _WithoutStubs()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("gradio")
    finally:
        sys.meta_path.remove(finder)


class _WithoutStubs(MetaPathFinder):
    """Finds the module that keeps Gradio's type stubs, for a loader that takes this out of it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path) if fullname == _STUBS else None
        if found is None or found.origin is None:
            return None
        return importlib.util.spec_from_file_location(
            fullname, found.origin, loader=_LoaderWithoutStubs(fullname, found.origin)
        )


class _LoaderWithoutStubs(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.create_or_modify_pyi = lambda *_: None  # type: ignore[attr-defined]
