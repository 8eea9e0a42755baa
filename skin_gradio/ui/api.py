"""The same answers for programs: named, typed endpoints, which are also the tools of an MCP server."""

import tempfile
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from gradio import FileData

from skin_gradio import batch
from skin_gradio.classifier import CarefulFinding, Classifier, Finding, Prior, UnusableAnswer
from skin_gradio.csv_rows import CsvWriter
from skin_gradio.images import UnusableImage, read_picture
from skin_gradio.models import ModelError
from skin_gradio.prediction_set import prediction_sets
from skin_gradio.ui.dropzone import Upload, uploaded_path
from skin_gradio.ui.model_choice import label
from skin_gradio.ui.runs import CSV_SUFFIXES, keep_uploads
from skin_gradio.ui.shelf import Shelf
from skin_gradio.ui.words import DEFAULT, speaking


def add_endpoints(shelf: Shelf) -> None:
    """Add /classify, /classify_batch, /model and /models to the current Blocks."""

    def classify(
        picture: FileData, prior: Prior = "collection", model: str = "", carefully: bool = False
    ) -> dict[str, Any]:
        """Classify one dermatoscopic picture of a skin lesion.

        For research and education only: no answer is a diagnosis. The answer has a status (ok, doubted or failed) and a
        reason; unless it failed also probabilities by diagnosis code, top_diagnosis, malignancy_score, doubts about
        whether the picture can be judged at all (code and message each), prediction_sets (coverage and diagnoses each),
        the prior, the model's name and revision; and where it was looked at carefully the views' spread.

        Parameters:
            picture: JPEG, PNG, WebP, TIFF, BMP or GIF, uploaded to this server.
            prior: mix that the probabilities are for: collection, as in the training data; equal, each equally common.
            model: key of one of the models that /models lists; the page's own when empty.
            carefully: judge eight turned and mirrored views of the picture and take their average; slower.

        Returns:
            The answer.
        """
        _check_prior(prior)
        classifier, upload = _classifier(shelf, model), _upload(picture)
        try:
            read = read_picture(upload.path)
        except UnusableImage as error:
            return _failed(upload.name, str(error), error.code)
        pixels, sides = read.resized(classifier.input_size)[None], [read.shorter_side]
        try:
            if carefully:
                careful = classifier.classify_carefully(pixels, prior, sides)[0]
                return _answer(classifier, upload.name, careful.finding, careful)
            return _answer(classifier, upload.name, classifier.classify(pixels, prior, sides)[0])
        except UnusableAnswer as error:
            return _failed(upload.name, str(error), error.code)

    def classify_batch(
        pictures: list[FileData], prior: Prior = "collection", model: str = ""
    ) -> tuple[list[dict[str, Any]], FileData]:
        """Classify many dermatoscopic pictures of skin lesions, or zip archives of them.

        For research and education only: no answer is a diagnosis.

        Parameters:
            pictures: pictures or zip archives, uploaded to this server.
            prior: mix that the probabilities are for: collection, as in the training data; equal, each equally common.
            model: key of one of the models that /models lists; the page's own when empty.

        Returns:
            An answer like /classify's for each picture, failed ones with their reason.
            A CSV file of the same rows.
        """
        _check_prior(prior)
        classifier, uploads = _classifier(shelf, model), [_upload(picture) for picture in pictures]
        folder = Path(tempfile.mkdtemp(prefix="skin-csv-", dir=gr.utils.get_upload_folder()))
        csv = folder / f"skin-lesions-{CSV_SUFFIXES[prior]}.csv"
        answers = []
        with (
            tempfile.TemporaryDirectory(prefix="skin-run-") as kept,
            CsvWriter(csv, classifier.model) as writer,
        ):
            uploads = keep_uploads(uploads, Path(kept))
            items = batch.list_items([upload.path for upload in uploads], [upload.name for upload in uploads])
            for row in batch.classify_items(items, classifier, prior, thumbnails=False):
                writer.write(row)
                if row.finding is None:
                    answers.append(_failed(row.file, row.reason, row.code))
                else:
                    answers.append(_answer(classifier, row.file, row.finding))
        return answers, FileData(path=str(csv))

    def model(model: str = "") -> dict[str, Any]:
        """Describe a model: name, revision, diagnosis codes in order, prior, input size and operating points.

        Parameters:
            model: key of one of the models that /models lists; the page's own when empty.

        Returns:
            The description.
        """
        folder = _classifier(shelf, model).model
        return {
            "key": folder.key,
            "name": folder.name,
            "revision": folder.revision,
            "classes": list(folder.codes),
            "prior": list(folder.prior),
            "input_size": folder.input_size,
            "operating_points": [vars(point) for point in folder.operating_points],
        }

    def models() -> list[dict[str, Any]]:
        """List the models that can be asked: key, a line that describes it, and whether it is the page's own.

        Returns:
            The list.
        """
        with speaking(DEFAULT):
            return [
                {"key": key, "label": label(shelf, key), "default": key == shelf.first_key} for key in shelf.offered
            ]

    gr.api(classify, api_name="classify", concurrency_id="single", concurrency_limit=4)
    gr.api(classify_batch, api_name="classify_batch", concurrency_id="batch", concurrency_limit=2)
    gr.api(model, api_name="model", concurrency_id="models", concurrency_limit=2)
    gr.api(models, api_name="models", queue=False)


def _failed(name: str, reason: str, code: str) -> dict[str, Any]:
    return {"file": name, "status": "failed", "reason": reason, "code": code}


def _answer(
    classifier: Classifier, name: str, finding: Finding, careful: CarefulFinding | None = None
) -> dict[str, Any]:
    sets = prediction_sets(finding, classifier.model, careful is not None)
    answer: dict[str, Any] = {
        "file": name,
        "status": "doubted" if finding.doubts else "ok",
        "reason": " ".join(doubt.message for doubt in finding.doubts),
        "probabilities": {code: float(value) for code, value in zip(finding.codes, finding.probabilities, strict=True)},
        "top_diagnosis": finding.top,
        "malignancy_score": float(finding.malignancy_score),
        "doubts": [vars(doubt) for doubt in finding.doubts],
        "prediction_sets": [{"coverage": one.coverage, "diagnoses": list(one.codes)} for one in sets],
        "prior": finding.prior,
        "model": classifier.model.name,
        "revision": classifier.model.revision,
    }
    if careful:
        low, high = careful.views.min(axis=0), careful.views.max(axis=0)
        answer["views"] = {
            code: {"lowest": float(low[place]), "highest": float(high[place])}
            for place, code in enumerate(finding.codes)
        }
    return answer


def _classifier(shelf: Shelf, key: str) -> Classifier:
    """Return the classifier of an offered model's key, the page's own for an empty one; raises gr.Error for another."""
    if not key:
        return shelf.first
    if key not in shelf.offered:
        raise gr.Error(f"model must be one of {', '.join(shelf.offered)}. Received: {key!r}", print_exception=False)
    try:
        return shelf.kept(key) or shelf.open(shelf.find(key))
    except ModelError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _upload(data: Any) -> Upload:
    """Return the file that a request names.

    Raises gr.Error when it names a file that no upload made: the path comes from outside and may be anything.
    """
    fields = data if isinstance(data, dict) else {}
    path = uploaded_path(str(fields.get("path", "")))
    if path is None:
        raise gr.Error(
            "The file was not uploaded to this server; send it to /gradio_api/upload first.", print_exception=False
        )
    return Upload(path, str(fields.get("orig_name") or path.name))


def _check_prior(prior: Any) -> None:
    if prior not in get_args(Prior):
        raise gr.Error(f"prior must be {' or '.join(get_args(Prior))}. Received: {prior!r}", print_exception=False)
