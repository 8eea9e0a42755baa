"""HAM10000 from the ISIC Archive's API, picture by picture, in the layout of Kaggle's copy.

The API (https://api.isic-archive.com/api/docs/swagger/) lists a collection in pages; an entry holds the metadata and an
address of the picture that is signed for a short time. So a page's pictures are fetched before the next is asked for.
"""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from training.download import DownloadError, Remote, Report, fetch, get_json
from training.ham10000 import COLUMNS
from training.isic2018 import CONFIRMATIONS

API = "https://api.isic-archive.com/api/v2"
HAM10000 = 212
"""The collection's number. It holds the challenge's test pictures too."""
TABLE = "HAM10000_metadata.csv"
_AT_ONCE = 8

# The archive's terms for HAM10000's diagnoses. They give the published count of every class; the seventh, vasc, has no
# third level.
_DIAGNOSES = {
    "Nevus": "nv",
    "Melanoma, NOS": "mel",
    "Pigmented benign keratosis": "bkl",
    "Basal cell carcinoma": "bcc",
    "Squamous cell carcinoma, NOS": "akiec",
    "Solar or actinic keratosis": "akiec",
    "Dermatofibroma": "df",
}
_VASCULAR = "Benign soft tissue proliferations - Vascular"


def fetch_ham10000(
    images: Collection[str],
    folder: Path,
    client: httpx.Client,
    report: Report | None = None,
) -> None:
    """Download these pictures into FOLDER/images, unless they are there, and write FOLDER/HAM10000_metadata.csv.

    The table has Kaggle's columns. Lesions have the archive's ids (IL_...), and the site is the archive's coarser one.

    Args:
        images: ids of the wanted pictures.
        folder: takes them.
        client: sends the requests.
        report: called after each page.

    Raises DownloadError where the archive lacks a picture, its size is wrong, or a diagnosis is not one of the seven.
    """
    wanted, rows = set(images), []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for page in _pages(client, f"{API}/images/search/?collections={HAM10000}&limit=100"):
            entries = [entry for entry in page if entry["isic_id"] in wanted]
            list(pool.map(lambda entry: _fetch_picture(entry, folder / "images", client), entries))
            rows += [_row(entry) for entry in entries]
            if report:
                report("ISIC Archive", len(rows), len(wanted), "pictures")
    if absent := sorted(wanted - {row["image_id"] for row in rows}):
        raise DownloadError(
            f"The ISIC Archive's collection {HAM10000} lacks {len(absent)} pictures, first {absent[0]}."
        )
    partial = folder / f"{TABLE}.partial"
    pd.DataFrame(rows, columns=list(COLUMNS)).drop_duplicates("image_id").to_csv(partial, index=False)
    partial.replace(folder / TABLE)


def _pages(client: httpx.Client, url: str | None) -> Iterator[list[dict[str, Any]]]:
    while url:
        answer = get_json(url, client)
        yield answer["results"]
        url = answer["next"]


def _fetch_picture(entry: dict[str, Any], folder: Path, client: httpx.Client) -> None:
    full = entry["files"]["full"]
    remote = Remote(f"{entry['isic_id']}.jpg", full["url"], size=full["size"])
    path = folder / remote.name
    if not path.exists() or path.stat().st_size != remote.size:
        path.unlink(missing_ok=True)
        fetch(remote, folder, client)


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry's row in Kaggle's columns."""
    facts = {key: value for group in entry["metadata"].values() for key, value in group.items()}
    found = facts.get("diagnosis_3")
    code = "vasc" if facts.get("diagnosis_2") == _VASCULAR else _DIAGNOSES.get(found or "")
    if code is None:
        raise DownloadError(
            f"The ISIC Archive calls {entry['isic_id']} {found!r}, which is none of HAM10000's diagnoses."
        )
    confirmation = facts.get("diagnosis_confirm_type")
    return {
        "lesion_id": facts.get("lesion_id"),
        "image_id": entry["isic_id"],
        "dx": code,
        "dx_type": CONFIRMATIONS.get(confirmation or "", confirmation),
        "age": facts.get("age_approx"),
        "sex": facts.get("sex"),
        "localization": facts.get("anatom_site_general"),
    }
