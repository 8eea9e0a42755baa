"""Whom the weights are owed to: the words that the page, every report and every model card share."""

from collections.abc import Sequence

_ISIC_2018 = (
    "Codella, N. et al. Skin Lesion Analysis Toward Melanoma Detection 2018: A Challenge Hosted by the International"
    " Skin Imaging Collaboration (ISIC). arXiv:1902.03368 (2019). <https://arxiv.org/abs/1902.03368>"
)
_HAM10000 = (
    "Tschandl, P., Rosendahl, C. & Kittler, H. The HAM10000 dataset, a large collection of multi-source dermatoscopic"
    " images of common pigmented skin lesions. *Sci. Data* 5, 180161 (2018)."
    " <https://doi.org/10.1038/sdata.2018.161>"
)
_ISIC_2017 = (
    "Codella, N. C. F. et al. Skin Lesion Analysis Toward Melanoma Detection: A Challenge at the 2017 International"
    " Symposium on Biomedical Imaging (ISBI), Hosted by the International Skin Imaging Collaboration (ISIC)."
    " arXiv:1710.05006 (2017). <https://arxiv.org/abs/1710.05006>"
)
_VIDIR = (
    "HAM10000 Dataset: (c) by ViDIR Group, Department of Dermatology, Medical University of Vienna;"
    " <https://doi.org/10.1038/sdata.2018.161>"
)
_CREDITS = {
    "HAM10000": (_VIDIR, (_HAM10000, _ISIC_2018)),
    "ISIC 2018 Task 3": (_VIDIR, (_HAM10000, _ISIC_2018)),
    "ISIC 2017": ("ISIC 2017 challenge: International Skin Imaging Collaboration", (_ISIC_2017,)),
}


_SAME_PICTURES = {"ISIC 2018 Task 3": "HAM10000"}
"""Collections whose training pictures are another one's."""


def learned(title: str, titles: Sequence[str]) -> bool:
    """Say whether who learned from the collections of some titles has learned from the pictures of another title."""
    known = {_SAME_PICTURES.get(one, one) for one in titles}
    return _SAME_PICTURES.get(title, title) in known


def is_credited(title: str) -> bool:
    """Say whether a collection is a published one, whose licence (CC BY-NC 4.0) the weights inherit."""
    return title in _CREDITS


def credit(titles: Sequence[str]) -> str:
    """Return who made the collections of these titles, as one line; empty for pictures of the user's own."""
    return "; ".join(dict.fromkeys(_CREDITS[title][0] for title in titles if title in _CREDITS))


def citations(titles: Sequence[str]) -> str:
    """Return what to cite for the collections of these titles, as a Markdown list."""
    found = dict.fromkeys(text for title in titles if title in _CREDITS for text in _CREDITS[title][1])
    return "\n".join(f"- {text}" for text in found)
