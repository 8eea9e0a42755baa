"""The same answers for programs: named, typed endpoints."""

import tempfile
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from gradio import FileData

from skin_gradio import batch
from skin_gradio.classifier import Classifier, Finding, Prior
from skin_gradio.images import UnusableImage, read_picture
from skin_gradio.ui.dropzone import Upload, uploaded_path
from skin_gradio.ui.runs import CSV_SUFFIXES


def add_endpoints(classifier: Classifier) -> None:
    """Add /classify, /classify_batch and /model to the current Blocks."""

    def classify(picture: FileData, prior: Prior = "collection") -> dict[str, Any]:
        """Classify one picture.

        Returns status (ok or failed), reason, and for an ok picture probabilities by diagnosis code for the mix of
        cases that `prior` names, top_diagnosis, malignancy_score, the prior, and the model's name and revision.
        """
        _check_prior(prior)
        upload = _upload(picture)
        try:
            pixels = read_picture(upload.path).resized(classifier.input_size)
        except UnusableImage as error:
            return {"file": upload.name, "status": "failed", "reason": str(error)}
        return _answer(classifier, upload.name, classifier.classify(pixels[None], prior)[0])

    def classify_batch(pictures: list[FileData], prior: Prior = "collection") -> tuple[list[dict[str, Any]], FileData]:
        """Classify many pictures or zip archives of pictures.

        Returns a row like /classify's for each picture, failed ones with their reason, and a CSV file of the same rows.
        """
        _check_prior(prior)
        uploads = [_upload(picture) for picture in pictures]
        items = batch.list_items([upload.path for upload in uploads], [upload.name for upload in uploads])
        folder = Path(tempfile.mkdtemp(prefix="skin-csv-", dir=gr.utils.get_upload_folder()))
        csv = folder / f"skin-lesions-{CSV_SUFFIXES[prior]}.csv"
        answers = []
        with batch.CsvWriter(csv, classifier.model) as writer:
            for row in batch.classify_items(items, classifier, prior):
                writer.write(row)
                if row.finding is None:
                    answers.append({"file": row.file, "status": "failed", "reason": row.reason})
                else:
                    answers.append(_answer(classifier, row.file, row.finding))
        return answers, FileData(path=str(csv))

    def model() -> dict[str, Any]:
        """Return the model's name, revision, diagnosis codes in order, prior, input size and operating points."""
        folder = classifier.model
        return {
            "name": folder.name,
            "revision": folder.revision,
            "classes": list(folder.codes),
            "prior": list(folder.prior),
            "input_size": folder.input_size,
            "operating_points": [vars(point) for point in folder.operating_points],
        }

    gr.api(classify, api_name="classify", concurrency_id="single", concurrency_limit=4)
    gr.api(classify_batch, api_name="classify_batch", concurrency_id="batch", concurrency_limit=2)
    gr.api(model, api_name="model", queue=False)


def _answer(classifier: Classifier, name: str, finding: Finding) -> dict[str, Any]:
    return {
        "file": name,
        "status": "ok",
        "reason": "",
        "probabilities": {code: float(value) for code, value in zip(finding.codes, finding.probabilities, strict=True)},
        "top_diagnosis": finding.top,
        "malignancy_score": float(finding.malignancy_score),
        "prior": finding.prior,
        "model": classifier.model.name,
        "revision": classifier.model.revision,
    }


def _upload(data: Any) -> Upload:
    """Return the file that a request names.

    Raises gr.Error when it names a file that no upload made: the path comes from outside and may be anything.
    """
    fields = data if isinstance(data, dict) else {}
    path = uploaded_path(str(fields.get("path", "")))
    if path is None:
        raise gr.Error("The file was not uploaded to this server.", print_exception=False)
    return Upload(path, str(fields.get("orig_name") or path.name))


def _check_prior(prior: Any) -> None:
    if prior not in get_args(Prior):
        raise gr.Error(f"prior must be {' or '.join(get_args(Prior))}. Received: {prior!r}", print_exception=False)
