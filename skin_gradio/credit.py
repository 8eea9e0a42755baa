"""Whom the weights are owed to: the words that the page and every model card share."""

CITATIONS = """\
- Tschandl, P., Rosendahl, C. & Kittler, H. The HAM10000 dataset, a large collection of multi-source dermatoscopic
  images of common pigmented skin lesions. *Sci. Data* 5, 180161 (2018). <https://doi.org/10.1038/sdata.2018.161>
- Codella, N. et al. Skin Lesion Analysis Toward Melanoma Detection 2018: A Challenge Hosted by the International Skin
  Imaging Collaboration (ISIC). arXiv:1902.03368 (2019). <https://arxiv.org/abs/1902.03368>"""
CREDIT = (
    "HAM10000 Dataset: (c) by ViDIR Group, Department of Dermatology, Medical University of Vienna;"
    " <https://doi.org/10.1038/sdata.2018.161>"
)
