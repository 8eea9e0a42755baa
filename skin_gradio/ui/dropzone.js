// Runs once per drop zone; Gradio provides element, props, trigger and upload, dropzone.py the settings.
const zone = element.querySelector(".zone");
const status = element.querySelector(".zone-status");
const clear = element.querySelector('[data-act="clear"]');
const camera = element.querySelector(".zone-camera");
const PARALLEL = 4;
let uploads = [];
let refused = [];
let generation = 0;
let running = 0;
let done = 0;
let expected = 0;

function say(text, problem = false) {
  status.textContent = text;
  status.classList.toggle("problem", problem);
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

function summary() {
  if (!settings.many) return uploads.length ? uploads[0].name : "";
  const ready = uploads.length ? `${plural(uploads.length, "file")} ready.` : "";
  const lost = refused.length ? ` ${plural(refused.length, "file")} not uploaded: ${refused.slice(0, 3).join("; ")}` : "";
  return (ready + lost + (refused.length > 3 ? " and others." : "")).trim();
}

async function take(files) {
  if (!files.length) return;
  if (!settings.many) {
    files = files.slice(0, 1);
    uploads = [];
    generation += 1;
    running = done = expected = 0;
  }
  refused = settings.many && running ? refused : [];
  const mine = generation;
  if (!running) done = expected = 0;
  expected += files.length;
  running += 1;
  zone.classList.add("busy");
  trigger("input");
  const sent = new Array(files.length);
  const queue = files.entries();
  const worker = async () => {
    for (const [position, { file, name }] of queue) {
      const { path, problem } = await send(file);
      if (mine !== generation) return;
      if (problem) refused.push(`${name}: ${problem}`);
      else sent[position] = { path, name };
      done += 1;
      say(expected === 1 ? `Uploading ${name} …` : `Uploading ${done.toLocaleString("en")} of ${plural(expected, "file")} …`);
    }
  };
  if (files.length === 1) say(`Uploading ${files[0].name} …`);
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  if (mine !== generation) return;
  uploads.push(...sent.filter(Boolean));
  running -= 1;
  if (running) return;
  zone.classList.remove("busy");
  if (clear) clear.hidden = !uploads.length;
  say(settings.many || uploads.length ? summary() : refused[0], refused.length > 0);
  props.value = JSON.stringify(uploads);
  trigger(uploads.length || settings.many ? "upload" : "error");
}

async function send(file) {
  if (file.size > settings.maxBytes) {
    const [size, most] = [file.size, settings.maxBytes].map((bytes) => Math.round(bytes / 1e6).toLocaleString("en"));
    return { problem: `the file has ${size} MB; at most ${most} MB are taken.` };
  }
  try {
    return { path: (await upload(file)).path };
  } catch (error) {
    return { problem: "the upload failed; is the server still running?" };
  }
}

function named(files) {
  return Array.from(files, (file) => ({ file, name: file.webkitRelativePath || file.name }));
}

async function droppedFiles(transfer) {
  // Entries must be taken before the first await: the list is emptied when the event ends.
  const entries = Array.from(transfer.items || [], (item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
  if (!entries.some((entry) => entry && entry.isDirectory)) return named(transfer.files);
  const found = [];
  const walk = async (entry) => {
    if (!entry) return;
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
      if (file) found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
      if (!part.length) return;
      for (const child of part) await walk(child);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

for (const input of element.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    const files = named(input.files);
    input.value = "";
    take(files);
  });
}

zone.addEventListener("dragover", (event) => {
  event.preventDefault();
  zone.classList.add("over");
});
zone.addEventListener("dragleave", (event) => {
  if (!zone.contains(event.relatedTarget)) zone.classList.remove("over");
});
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  take(await droppedFiles(event.dataTransfer));
});

document.addEventListener("paste", (event) => {
  if (!zone.isConnected || zone.offsetParent === null || !event.clipboardData.files.length) return;
  event.preventDefault();
  take(named(event.clipboardData.files));
});

async function paste() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((one) => one.startsWith("image/"));
      if (type) return take(named([new File([await item.getType(type)], `pasted.${type.split("/")[1]}`, { type })]));
    }
    say("The clipboard holds no picture. Copy one first.", true);
  } catch (error) {
    say("The browser does not let this page read the clipboard. Press Ctrl+V (or ⌘V) instead.", true);
  }
}

function stopCamera() {
  const video = camera.querySelector("video");
  if (video.srcObject) video.srcObject.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  camera.hidden = true;
}

async function startCamera() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    const video = camera.querySelector("video");
    video.srcObject = stream;
    await video.play();
    camera.hidden = false;
    say("");
  } catch (error) {
    say("There is no camera that this page may use. A camera needs a permission, and https or localhost.", true);
  }
}

function shoot() {
  const video = camera.querySelector("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  stopCamera();
  canvas.toBlob((blob) => take(named([new File([blob], "camera.png", { type: "image/png" })])), "image/png");
}

function removeAll() {
  generation += 1;
  uploads = [];
  refused = [];
  running = done = expected = 0;
  zone.classList.remove("busy");
  clear.hidden = true;
  say("");
  props.value = "[]";
  trigger("clear");
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  ({ paste, camera: startCamera, shoot, stop: stopCamera, clear: removeAll })[button.dataset.act]();
});
