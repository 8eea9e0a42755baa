"""The models that the page can use: opened when somebody chooses them, shared by all visitors, a few at a time."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from html import escape

import gradio as gr

from skin_gradio.classifier import Classifier
from skin_gradio.engines import Engine, EngineName, open_safely
from skin_gradio.models import Choice, ModelError, ModelFolder, bundled_models, find_bundled, find_model
from skin_gradio.ui.words import told

CAPACITY = 4

ONLY_OFFERED = (
    "{name!r} is not offered here: choose one of {offered}. Whoever runs this page can allow other models"
    " (--models any)."
)
CLOSED = "The model of this session cannot be opened again; choose another one. {reason}"


class Shelf:
    """Open classifiers by key. A session's choice is a key, kept by its browser; classifiers are never in a state.

    At most CAPACITY classifiers are open: the one used longest ago makes room for another, the first never does. A key
    is a name that the model can be opened by again. Calls from several threads are allowed.
    """

    def __init__(
        self,
        first: Classifier,
        engine: EngineName = "auto",
        choice: Choice = "bundled",
        open_engine: Callable[[ModelFolder, EngineName], Engine] = open_safely,
    ):
        self.choice = choice
        self.first_key = first.model.key
        self._engine = engine
        self._open_engine = open_engine
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._classifiers = OrderedDict({self.first_key: first})

    @property
    def first(self) -> Classifier:
        """The classifier that the page was opened with."""
        return self._classifiers[self.first_key]

    @property
    def offered(self) -> list[str]:
        """Keys of the models that every visitor may choose: the first and the bundled ones."""
        return list(dict.fromkeys([self.first_key, *bundled_models()]))

    def find(self, name: str) -> ModelFolder:
        """Return the model that a visitor names: an offered one, or where `choice` is any, a folder or a Hub id.

        Raises ModelError when there is none, when it may not be opened here, or when its files are not whole.
        """
        name = name.strip()
        if name == self.first_key:
            return self.first.model
        if name in bundled_models():
            return find_bundled(name)
        if self.choice != "any":
            raise ModelError(ONLY_OFFERED.format(name=name, offered=", ".join(self.offered)))
        return find_model(name)

    def open(self, model: ModelFolder) -> Classifier:
        """Return the classifier of a model, opening it unless it is open; others who want the same one wait for it.

        Its key is `model.key`. Raises ModelError when the model cannot be opened.
        """
        key = model.key
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            try:
                classifier = self.kept(key, model.revision)
                if classifier is None:
                    classifier = Classifier(model, self._open_engine(model, self._engine))
                    self._keep(key, classifier)
            finally:
                with self._lock:
                    self._loading.pop(key, None)
        return classifier

    def get(self, key: str | None) -> Classifier:
        """Return the classifier of a key that `open` gave, opening it again if it had to make room; the first for None.

        Raises gr.Error when it cannot be opened again.
        """
        if key is None:
            return self.first
        if (kept := self.kept(key)) is not None:
            return kept
        try:
            return self.open(self.find(key))
        except ModelError as error:
            raise gr.Error(escape(told(CLOSED.format(reason=error))), print_exception=False) from None

    def kept(self, key: str, revision: str | None = None) -> Classifier | None:
        """Return the open classifier of a key, of a certain revision if one is given, and count it as just used."""
        with self._lock:
            classifier = self._classifiers.get(key)
            if classifier is None or revision not in (None, classifier.model.revision):
                return None
            self._classifiers.move_to_end(key)
            return classifier

    def _keep(self, key: str, classifier: Classifier) -> None:
        with self._lock:
            self._classifiers[key] = classifier
            self._classifiers.move_to_end(key)
            for old in list(self._classifiers):
                if len(self._classifiers) > CAPACITY and old != self.first_key:
                    del self._classifiers[old]
