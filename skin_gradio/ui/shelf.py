"""The models that the page can use: opened once, shared by all visitors."""

from skin_gradio.classifier import Classifier


class Shelf:
    """Open classifiers by key. A session's choice is a key, kept in a `gr.State`; classifiers are never in a state."""

    def __init__(self, first: Classifier):
        self.first_key = first.model.name
        self._classifiers = {self.first_key: first}

    @property
    def first(self) -> Classifier:
        """The classifier that the page was opened with."""
        return self._classifiers[self.first_key]

    def get(self, key: str) -> Classifier:
        """Return the classifier of a key; the first one where the key's was closed meanwhile."""
        return self._classifiers.get(key, self.first)
