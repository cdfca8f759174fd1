"use strict";

const $ = (id) => document.getElementById(id);
let about = null; // the model
let asked = null; // the question that is shown
let answer = null;
let picture = null; // a data URI
let removed = new Map();
let turn = 0; // the latest question: an older answer that comes later is dropped
let removal = 0; // the latest removal, likewise

async function post(path, question) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
  });
  const told = path === "/page" && response.ok ? await response.text() : await response.json();
  if (!response.ok) throw new Error(told.error);
  return told;
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").dataset.kind = kind;
}

function option(select, value, text) {
  select.append(new Option(text, value));
}

async function begin() {
  about = await (await fetch("/about")).json();
  $("model").textContent = about.model;
  document.title = `calig: ${about.model}`;
  document.querySelector(about.reads === "image" ? "label.picture" : "label.text").hidden = false;
  $("text").required = about.reads !== "image";
  for (const [number, label] of Object.entries(about.labels)) option($("target"), number, label);
  for (const method of about.methods) option($("method"), method, method);
}

async function explain() {
  const now = ++turn;
  const question = { method: $("method").value };
  if (about.reads === "image") question.picture = picture;
  else question.text = $("text").value;
  if ($("target").value !== "") question.target = Number($("target").value);
  if (about.reads === "image" && !picture) return say("choose a picture first", "error");
  say("computing ...");
  try {
    const told = await post("/explain", question);
    if (now !== turn) return;
    [asked, answer, removed] = [question, told, new Map()];
    ++removal; // those of the former answer
    show();
    const error = told.error === null ? "not estimated by this method" : told.error.toExponential(1);
    const met = told.error === null ? "" : told.converged ? ", converged" : ", not converged";
    const cut = told.cut ? `; the last ${told.cut} tokens of the text are cut` : "";
    say(`${told.seconds.toFixed(2)} s; relative error of the scores ${error}${met}${cut}`);
  } catch (error) {
    if (now === turn) say(error.message, "error");
  }
}

function show() {
  $("answer").hidden = false;
  $("statement").textContent = `Explained: ${answer.label}. ${answer.statement}`;
  const layer = $("layer");
  layer.replaceChildren();
  option(layer, "", "all layers together");
  answer.layer_errors.forEach((error, n) =>
    option(layer, n, `layer ${n}${error === null ? "" : `, error ${error.toExponential(1)}`}`)
  );
  draw();
  probabilities(null);
}

function draw() {
  const layer = $("layer").value;
  const values = answer.parts.map((part) => (layer === "" ? part.score : part.layers[Number(layer)]) ?? 0);
  const scale = Math.max(...values.map(Math.abs), 1e-30);
  const box = $("parts");
  box.replaceChildren();
  box.classList.toggle("patches", answer.picture !== null);
  if (answer.picture !== null) {
    const image = new Image();
    image.src = answer.picture;
    image.alt = "the picture as the model sees it";
    box.append(image);
  }
  let at = 0;
  answer.parts.forEach((part, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = values[n] < 0 ? "part opposes" : "part";
    button.style.setProperty("--colour", `var(--${values[n] < 0 ? "oppose" : "support"})`);
    button.style.setProperty("--alpha", `calc(${Math.abs(values[n]) / scale} * var(--strength))`);
    button.title = `${part.text}: ${values[n].toPrecision(3)}`;
    button.setAttribute("aria-pressed", String(removed.has(n)));
    button.addEventListener("click", () => toggle(n, button));
    if (answer.picture === null) {
      if (part.start >= 0) box.append(characters(asked.text, at, part.start));
      button.textContent = part.start >= 0 ? characters(asked.text, part.start, part.end) : part.text;
      at = Math.max(at, part.end);
    } else {
      const [height, width] = answer.patch ?? [0, 0];
      button.setAttribute("aria-label", button.title);
      button.style.top = `${100 * part.place[0] * height}%`;
      button.style.left = `${100 * part.place[1] * width}%`;
      button.style.height = `${100 * height}%`;
      button.style.width = `${100 * width}%`;
    }
    box.append(button);
  });
  if (answer.picture === null) box.append(characters(asked.text, at));
}

// Python counts characters, JavaScript halves of surrogate pairs
function characters(text, start, end) {
  return Array.from(text).slice(start, end).join("");
}

async function toggle(n, button) {
  const part = answer.parts[n];
  if (removed.has(n)) removed.delete(n);
  else removed.set(n, part.place ?? [part.start, part.end]);
  button.setAttribute("aria-pressed", String(removed.has(n)));
  const now = ++removal;
  if (removed.size === 0) return probabilities(null);
  try {
    const told = await post("/without", { ...asked, removed: [...removed.values()] });
    if (now === removal) probabilities(told.probabilities);
  } catch (error) {
    if (now === removal) say(error.message, "error");
  }
}

function probabilities(others) {
  const percent = (value) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(1)} %`);
  $("probabilities").replaceChildren(
    ...answer.probabilities.map((value, n) => {
      const row = document.createElement("tr");
      for (const text of [about.labels[n] ?? String(n), percent(value), others ? percent(others[n]) : ""]) {
        row.append(Object.assign(document.createElement("td"), { textContent: text }));
      }
      return row;
    })
  );
}

async function share() {
  try {
    const page = await post("/page", asked);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([page], { type: "text/html" }));
    link.download = "why.html";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    say(error.message, "error");
  }
}

function take(file) {
  if (!file) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    picture = reader.result;
    say(`${file.name} is ready`);
  });
  reader.readAsDataURL(file);
}

$("question").addEventListener("submit", (event) => {
  event.preventDefault();
  explain();
});
$("layer").addEventListener("change", draw);
$("share").addEventListener("click", share);
$("file").addEventListener("change", (event) => take(event.target.files[0]));
$("drop").addEventListener("dragover", (event) => event.preventDefault());
$("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});
begin().catch((error) => say(error.message, "error"));
