// The readers' pages: coming in, looking at an image, answering. No library, nothing from elsewhere.
"use strict";

const RETRY = 2000; // milliseconds
const PATIENCE = 10000; // milliseconds until an answer of the server is given up and asked for again
const STEP = 1.25; // of one zoom
const element = (id) => document.getElementById(id);
const pages = { enter, consent, read, done: leaveButton, admin: leaveButton };

function tell(text) {
  element("message").textContent = text;
}

function post(path, body, options = {}) {
  const headers = { "Content-Type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body), ...options });
}

// Ask until the server answers: what it has not acknowledged is not stored.
async function insist(ask, waiting) {
  for (;;) {
    try {
      const response = await ask(AbortSignal.timeout(PATIENCE));
      if (response.status < 500) return response;
    } catch {
      // unreachable; told below
    }
    waiting();
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}

async function explain(response) {
  const body = await response.json().catch(() => ({}));
  return body.detail || "Something went wrong. Please load the page again.";
}

function leaveButton() {
  element("leave").addEventListener("click", async () => {
    await post("/leave", {});
    location.replace("/enter");
  });
}

function enter() {
  const form = element("form");
  const unreachable = () => tell("The server cannot be reached. Trying again …");
  const open = async (token) => {
    const response = await insist((signal) => post("/enter", { token }, { signal }), unreachable);
    if (response.ok) location.replace("/");
    else tell(await explain(response));
  };
  const openHash = () => {
    const token = location.hash.slice(1);
    if (!token) return;
    history.replaceState(null, "", "/enter"); // keep the token out of the browser's history
    open(token);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = form.token.value.split("#").pop().trim(); // a whole link may be pasted
    if (token) open(token);
    else tell("Please paste your personal link first.");
  });
  addEventListener("hashchange", openHash);
  openHash();
}

function consent() {
  const form = element("form");
  const wrong = () => {
    if (!form.consent.checked) return [form.consent, "Please agree to take part, or close this page."];
    if (!form.profession.value) return [form.profession, "Please choose your profession."];
    if (!form.years.value || !form.years.checkValidity()) return [form.years, "Please give your years of experience as a number, 0 to 80."];
    return null;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const found = wrong();
    for (const field of form.elements) field.removeAttribute("aria-invalid");
    if (found) {
      found[0].setAttribute("aria-invalid", "true");
      found[0].focus();
      tell(found[1]);
      return;
    }
    const body = { consent: true, profession: form.profession.value, years: Number(form.years.value) };
    const unreachable = () => tell("Not saved yet: the server cannot be reached. Trying again …");
    const response = await insist((signal) => post("/profile", body, { signal }), unreachable);
    if (response.ok) location.replace("/");
    else tell(await explain(response));
  });
}

// Shows grey values on a canvas: zoom, pan, window and level.
class Viewer {
  constructor(canvas, side) {
    this.canvas = canvas;
    this.side = side;
    this.pixels = null;
    this.picture = document.createElement("canvas");
    this.picture.width = this.picture.height = side;
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(pixels) {
    this.pixels = pixels;
    this.render();
  }

  reset() {
    this.zoom = 1;
    this.x = this.y = this.side / 2; // image point in the middle of the canvas
    this.level = 128;
    this.width = 256;
    this.render();
  }

  // Canvas pixels per image pixel.
  get scale() {
    return (this.zoom * Math.min(this.canvas.width, this.canvas.height)) / this.side;
  }

  setWindow(level, width) {
    this.level = Math.min(256, Math.max(0, level));
    this.width = Math.min(512, Math.max(8, width));
    this.render();
  }

  // Zoom so that the point (x, y) of the canvas, in its own pixels, stays where it is.
  zoomBy(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const [dx, dy] = [x - this.canvas.width / 2, y - this.canvas.height / 2];
    const before = this.scale;
    this.zoom = Math.min(16, Math.max(1, this.zoom * factor));
    this.moveTo(this.x + dx / before - dx / this.scale, this.y + dy / before - dy / this.scale);
  }

  panBy(dx, dy) {
    this.moveTo(this.x - dx / this.scale, this.y - dy / this.scale);
  }

  // The image's edges stay outside the canvas, or the image in its middle.
  moveTo(x, y) {
    const clamp = (value, length) => {
      const half = Math.min(this.side, length / this.scale) / 2;
      return Math.min(this.side - half, Math.max(half, value));
    };
    this.x = clamp(x, this.canvas.width);
    this.y = clamp(y, this.canvas.height);
    this.draw();
  }

  // Linear window (DICOM PS3.3, C.11.2.1.2), then draw.
  render() {
    if (this.pixels) {
      const shown = new ImageData(this.side, this.side);
      const table = new Uint8ClampedArray(256).map((_, value) => ((value + 0.5 - this.level) / this.width + 0.5) * 255);
      const grey = new Uint32Array(shown.data.buffer);
      this.pixels.forEach((value, place) => (grey[place] = 0xff000000 | (table[value] * 0x010101)));
      this.picture.getContext("2d").putImageData(shown, 0, 0);
    }
    this.draw();
  }

  draw() {
    const { canvas, scale } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
      this.moveTo(this.x, this.y);
      return;
    }
    const context = canvas.getContext("2d", { alpha: false });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillRect(0, 0, width, height);
    if (!this.pixels) return;
    context.imageSmoothingQuality = "high";
    context.setTransform(scale, 0, 0, scale, width / 2 - this.x * scale, height / 2 - this.y * scale);
    context.drawImage(this.picture, 0, 0);
  }
}

// Mouse, fingers, wheel and buttons of the viewer.
function steer(viewer) {
  const { canvas } = viewer;
  const [level, width, zoom] = [element("level"), element("width"), element("zoom")];
  const pointers = new Map();
  const ratio = () => canvas.width / canvas.clientWidth;
  const update = () => {
    zoom.textContent = `${Math.round(viewer.zoom * 100)} %`;
    level.value = viewer.level;
    width.value = viewer.width;
  };
  const act = (change) => {
    change();
    update();
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return [Math.hypot(a.x - b.x, a.y - b.y), (a.x + b.x) / 2, (a.y + b.y) / 2];
  };
  const move = (event, before) => {
    const [dx, dy] = [event.offsetX - before.x, event.offsetY - before.y];
    const old = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (old) {
      const [distance, x, y] = spread();
      viewer.zoomBy(distance / Math.max(1, old[0]), x * ratio(), y * ratio());
      viewer.panBy((x - old[1]) * ratio(), (y - old[2]) * ratio());
    } else if (event.buttons & 2 || event.shiftKey) viewer.setWindow(viewer.level - dy / 2, viewer.width + dx);
    else viewer.panBy(dx * ratio(), dy * ratio());
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before) act(() => move(event, before));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const factor = Math.exp(-event.deltaY / (event.deltaMode ? 20 : 500));
    act(() => viewer.zoomBy(factor, event.offsetX * ratio(), event.offsetY * ratio()));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => act(() => viewer.zoomBy(2)));
  element("larger").addEventListener("click", () => act(() => viewer.zoomBy(STEP)));
  element("smaller").addEventListener("click", () => act(() => viewer.zoomBy(1 / STEP)));
  element("reset").addEventListener("click", () => act(() => viewer.reset()));
  for (const slider of [level, width]) {
    slider.addEventListener("input", () => viewer.setWindow(Number(level.value), Number(width.value)));
  }
  return act;
}

// Tells the server when the image is looked at; measures the same by the browser's clock, as a supplement.
class Presence {
  constructor(place, heartbeat) {
    this.place = place;
    this.total = 0;
    this.since = null; // when looking began; null while nobody looks
    this.over = false;
    this.timer = setInterval(() => this.since !== null && this.send("alive"), heartbeat * 1000);
  }

  send(kind) {
    return post("/stamps", { ...this.place, kind }, { keepalive: true }).catch(() => {}); // the next sign will do
  }

  begin() {
    this.since = performance.now();
  }

  pause() {
    if (this.since === null) return undefined;
    this.total += performance.now() - this.since;
    this.since = null;
    return this.send("paused");
  }

  resume() {
    if (this.since !== null || this.over) return;
    this.begin();
    this.send("resumed");
  }

  // Seconds looked at.
  end() {
    clearInterval(this.timer);
    const looking = this.since === null ? 0 : performance.now() - this.since;
    this.since = null;
    this.over = true;
    return (this.total + looking) / 1000;
  }
}

async function read() {
  const { block, number, side, submission, heartbeat } = element("desk").dataset;
  const place = { block, number: Number(number) };
  const viewer = new Viewer(element("canvas"), Number(side));
  const presence = new Presence(place, Number(heartbeat));
  const act = steer(viewer);
  pauseButtons(presence);
  answerForm(place, submission, presence);
  shortcuts(viewer, act);

  const waiting = () => (element("loading").textContent = "The server cannot be reached. Trying again …");
  const response = await insist((signal) => fetch(`/images/${block}/${number}`, { signal, cache: "no-store" }), waiting);
  if (response.status === 401) return location.replace("/enter");
  if (!response.ok) {
    const link = Object.assign(document.createElement("a"), { href: "/", textContent: "Go on" });
    element("loading").replaceChildren("This image was answered already, perhaps on another device. ", link);
    return undefined;
  }
  viewer.show(new Uint8Array(await response.arrayBuffer()));
  element("loading").hidden = true;
  presence.begin();
  document.body.dataset.ready = "yes";
  return undefined;
}

function pauseButtons(presence) {
  const dialog = element("paused");
  const open = () => {
    presence.pause();
    dialog.showModal();
  };
  element("pause").addEventListener("click", open);
  element("resume").addEventListener("click", () => {
    dialog.close();
    element("resume").blur(); // else it takes the keys until the page is drawn again
  });
  dialog.addEventListener("close", () => presence.resume());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) presence.pause();
    else if (!dialog.open && document.body.dataset.ready) presence.resume();
  });
  element("leave").addEventListener("click", async () => {
    await presence.pause(); // before the session ends, as nobody is believed after it
    await post("/leave", {});
    location.replace("/enter");
  });
}

function answerForm(place, submission, presence) {
  const form = element("form");
  const [button, next] = [element("submit"), element("next")];
  let sending = false;
  next.addEventListener("click", () => location.replace("/"));

  const feedback = (truth) => {
    const right = truth === form.elements.answer.value;
    element("truth").textContent = `${right ? "Right" : "Not right"}: this image is ${truth}.`;
    element("feedback").hidden = false;
    button.hidden = true;
    for (const field of form.querySelectorAll("input, textarea")) field.disabled = field.id !== "shortcuts";
    next.focus();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!document.body.dataset.ready || sending) return;
    if (!element("feedback").hidden) {
      next.click();
      return;
    }
    const { answer, confidence, comment } = form.elements;
    if (!answer.value) return tell("Please choose real or synthetic first.");
    if (!confidence.value) return tell("Please say how sure you are.");
    sending = button.disabled = true;
    tell("");
    const findings = [...form.querySelectorAll("[name=findings]:checked")].map((box) => box.value);
    const body = {
      ...place, submission, findings, answer: answer.value, confidence: Number(confidence.value),
      comment: comment.value, seconds: presence.end(),
    };
    const waiting = () => tell("Not saved yet: the server cannot be reached. Trying again …");
    const response = await insist((signal) => post("/answers", body, { signal }), waiting);
    tell("");
    if (response.status === 401) return location.replace("/enter");
    if (!response.ok) {
      const link = Object.assign(document.createElement("a"), { href: "/", textContent: "Go on" });
      element("message").replaceChildren(`${await explain(response)} `, link);
      return undefined;
    }
    const { truth } = await response.json();
    sending = false;
    return truth ? feedback(truth) : location.replace("/");
  });
}

function shortcuts(viewer, act) {
  const box = element("shortcuts");
  const choose = (name, value) => {
    const field = document.querySelector(`input[name=${name}][value="${value}"]`);
    if (!field.disabled) field.checked = true;
    tell("");
  };
  const pan = (dx, dy) => act(() => viewer.panBy(dx * viewer.canvas.width * 0.1, dy * viewer.canvas.height * 0.1));
  const change = (level, width) => act(() => viewer.setWindow(viewer.level + level, viewer.width + width));
  const keys = {
    r: () => choose("answer", "real"),
    s: () => choose("answer", "synthetic"),
    c: () => element("comment").focus(),
    p: () => element("pause").click(),
    l: () => change(8, 0),
    L: () => change(-8, 0),
    w: () => change(0, 16),
    W: () => change(0, -16),
    0: () => act(() => viewer.reset()),
    "+": () => act(() => viewer.zoomBy(STEP)),
    "=": () => act(() => viewer.zoomBy(STEP)),
    "-": () => act(() => viewer.zoomBy(1 / STEP)),
    "?": () => (element("keys").open = !element("keys").open),
    Enter: () => element("form").requestSubmit(),
  };
  const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  for (const value of [1, 2, 3, 4, 5]) keys[value] = () => choose("confidence", value);
  try {
    box.checked = localStorage.getItem("shortcuts") !== "off";
    box.addEventListener("change", () => localStorage.setItem("shortcuts", box.checked ? "on" : "off"));
  } catch {
    // a browser that keeps nothing: shortcuts are on for each image
  }

  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || element("paused").open) return;
    if (target.tagName === "TEXTAREA") {
      if (key === "Escape") target.blur();
      return;
    }
    // What Enter does to a button, a link or a summary stays as it is; radio buttons and sliders keep their arrows.
    if (key === "Enter" && target.closest("button, a, summary")) return;
    const free = target === document.body || target === viewer.canvas;
    const action = key in arrows ? free && (() => pan(...arrows[key])) : keys[key] || keys[key.toLowerCase()];
    if (!action || (!box.checked && key !== "Enter" && !(target === viewer.canvas))) return;
    event.preventDefault();
    action();
  });
}

addEventListener("pageshow", (event) => event.persisted && location.reload());
(pages[document.body.dataset.page] || (() => {}))();
