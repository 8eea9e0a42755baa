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

const spoken = () => (document.documentElement.lang in settings.words ? document.documentElement.lang : "en");
const digits = (count) => count.toLocaleString(spoken());

function word(name, values = {}) {
  return settings.words[spoken()][name].replace(/{(\w+)}/g, (_, key) => values[key]);
}

function counted(kind, count, values = {}) {
  return word(`${count === 1 ? "one" : "many"}_${kind}`, { count: digits(count), ...values });
}

function translate() {
  for (const part of element.querySelectorAll("[data-word]")) part.textContent = word(part.dataset.word);
  for (const part of element.querySelectorAll("[data-label]")) part.setAttribute("aria-label", word(part.dataset.label));
  if (uploads.length && !running) say(summary(), refused.length > 0);
}

function summary() {
  if (!settings.many) return uploads.length ? uploads[0].name : "";
  const ready = uploads.length ? counted("ready", uploads.length) : "";
  const lost = refused.length ? counted("lost", refused.length, { names: refused.slice(0, 3).join("; ") }) : "";
  return [ready, lost + (refused.length > 3 ? ` ${word("and_others")}` : "")].join(" ").trim();
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
      say(expected === 1 ? word("uploading", { name }) : word("counting", { done: digits(done), count: digits(expected) }));
    }
  };
  if (files.length === 1) say(word("uploading", { name: files[0].name }));
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
    const [size, most] = [file.size, settings.maxBytes].map((bytes) => digits(Math.round(bytes / 1e6)));
    return { problem: word("too_large", { size, most }) };
  }
  try {
    return { path: (await upload(file)).path };
  } catch (error) {
    return { problem: word("failed") };
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
    say(word("no_picture"), true);
  } catch (error) {
    say(word("no_clipboard"), true);
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
    say(word("no_camera"), true);
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

new MutationObserver(translate).observe(document.documentElement, { attributeFilter: ["lang"] });
translate();
