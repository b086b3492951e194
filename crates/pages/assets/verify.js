// The page of a verification: it follows what happens elsewhere, and takes pictures with the camera.
"use strict";
(() => {
  const root = document.querySelector("[data-verify]");
  if (!root) return;
  let busy = false;

  // Whether this page still shows what is to be done: the phone may have gone on, or somebody decided.
  const FIRST_WAIT = 1500;
  const LONGEST_WAIT = 15000;
  let wait = FIRST_WAIT;
  const follow = async () => {
    if (!document.hidden && !busy) {
      try {
        const answer = await fetch(root.dataset.state);
        const gone = answer.status === 403 || answer.status === 410;
        const other = gone || (answer.ok && (await answer.json()).mark !== root.dataset.mark);
        if (other && !busy) {
          location.reload();
          return;
        }
      } catch {
        // Out of reach just now.
      }
      wait = Math.min(wait * 1.15, LONGEST_WAIT);
    }
    setTimeout(follow, wait);
  };
  document.addEventListener("visibilitychange", () => { wait = FIRST_WAIT; });
  if (root.dataset.state) setTimeout(follow, wait);

  // A key that this browser made for this site. It signs here, and nobody can take it out.
  const stored = (work) => new Promise((done, fail) => {
    const opening = indexedDB.open("portcullis", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onerror = opening.onblocked = () => fail(opening.error);
    opening.onsuccess = () => {
      const base = opening.result;
      const end = (tell, what) => { base.close(); tell(what); };
      // Some browsers keep no keys, and say so only here.
      try {
        const change = base.transaction("keys", "readwrite");
        change.onabort = () => end(fail, change.error);
        const asked = work(change.objectStore("keys"));
        asked.onsuccess = () => end(done, asked.result);
        asked.onerror = () => end(fail, asked.error);
      } catch (error) {
        end(fail, error);
      }
    };
  });
  const within = (time, work) => Promise.race([work, new Promise((_, fail) => setTimeout(fail, time))]);
  const deviceKey = async () => {
    const kept = await stored((keys) => keys.get("device"));
    if (kept) return kept;
    const fresh = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
    // Another page may have made one meanwhile, which is then the one.
    await stored((keys) => keys.add(fresh, "device")).catch(() => {});
    return stored((keys) => keys.get("device"));
  };
  const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const meet = async () => {
    const { device: url, challenge, csrf } = root.dataset;
    const device = {
      user_agent: navigator.userAgent,
      languages: [...navigator.languages],
      time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "",
      is_automated: navigator.webdriver === true,
    };
    try {
      const pair = await within(1500, deviceKey());
      const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
      const text = new TextEncoder().encode(`portcullis-device-key\n${challenge}`);
      const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, text);
      device.key = { jwk: { kty, crv, x, y }, signature: base64url(signature) };
    } catch {
      // A private window may keep nothing; without a key it goes on as well.
    }
    await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ csrf, device }) });
  };
  const met = root.dataset.device ? meet().catch(() => {}) : Promise.resolve();

  // Whoever mistyped one of 88 signs mends that one: the lines stay in this tab for the next page, if that asks for
  // them again.
  const KEPT = "portcullis-lines";
  const [path, form] = [location.pathname, root.querySelector("form[data-kind]")];
  const lines = form?.querySelector("textarea.zone");
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  } catch {
    // Nothing of ours.
  }
  sessionStorage.removeItem(KEPT);
  const asksAgain = lines && root.querySelector("[role=alert]");
  if (kept?.path === path && asksAgain && kept.node === form.elements.node.value) lines.value = kept.text;
  if (!form) return;
  const said = form.querySelector("[data-said]");
  const say = (text) => { said.textContent = text || ""; };

  // Sent by script, so that a connection that breaks loses neither the page nor the picture.
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    const texts = form.dataset;
    const button = form.querySelector("button[type=submit]");
    busy = true;
    button.disabled = true;
    say(texts.sending);
    // What is looked at after this step should know the browser, and nobody waits for it for long.
    await Promise.race([met, new Promise((done) => setTimeout(done, 3000))]);
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 410) {
        if (lines) {
          const node = form.elements.node.value;
          const state = await fetch(root.dataset.state);
          const again = state.ok && (await state.json()).again === node;
          if (again) sessionStorage.setItem(KEPT, JSON.stringify({ path, node, text: lines.value }));
        }
        location.reload();
        return;
      }
      say(answer.status === 413 ? texts.large : answer.status === 422 ? texts.unfit : answer.status === 429 || answer.status === 503 ? texts.busy : texts.unsent);
    } catch {
      say(texts.unsent);
    }
    busy = false;
    button.disabled = false;
  });

  const selfie = form.dataset.kind === "selfie";
  if (form.dataset.kind !== "picture" && !selfie) return;
  const LONGEST_SIDE = 2600;
  const file = form.querySelector("input[type=file]");
  const taken = form.querySelector("[data-taken]");
  const place = form.querySelector("[data-camera]");
  const view = place.querySelector("[data-view]");
  const video = view.querySelector("video");
  const [open, take] = [place.querySelector("[data-open]"), place.querySelector("[data-take]")];

  // Puts a picture where the form sends it from, and shows it.
  const keep = async (source, width, height) => {
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    taken.width = Math.round(width * scale);
    taken.height = Math.round(height * scale);
    taken.getContext("2d").drawImage(source, 0, 0, taken.width, taken.height);
    const blob = await new Promise((done) => taken.toBlob(done, "image/jpeg", 0.92));
    const files = new DataTransfer();
    files.items.add(new File([blob], "picture.jpg", { type: "image/jpeg" }));
    file.files = files.files;
    taken.hidden = false;
  };

  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    taken.hidden = true;
    if (!chosen) return;
    try {
      const picture = await createImageBitmap(chosen);
      await keep(picture, picture.width, picture.height);
      picture.close();
    } catch {
      // Whatever it is, the other side says what is wrong with it.
    }
  });

  let stream = null;
  const close = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    view.hidden = take.hidden = true;
    open.hidden = false;
  };

  // How dark and how sharp what the camera sees is, in a small copy of it.
  const small = document.createElement("canvas");
  // A face has fewer edges than a document.
  const SHARP = selfie ? 8 : 40;
  const DARK = 0.2;
  let timer = 0;
  const hint = () => {
    clearTimeout(timer);
    if (!stream) return;
    const [width, height] = [320, Math.max(1, Math.round((320 * video.videoHeight) / (video.videoWidth || 1)))];
    small.width = width;
    small.height = height;
    const context = small.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const grey = new Float32Array(width * height);
    let light = 0;
    for (let at = 0; at < grey.length; at++) {
      grey[at] = 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2];
      light += grey[at];
    }
    let [sum, squares, count] = [0, 0, 0];
    for (let y = 1; y + 1 < height; y++) {
      for (let x = 1; x + 1 < width; x++) {
        const at = y * width + x;
        const edge = grey[at - 1] + grey[at + 1] + grey[at - width] + grey[at + width] - 4 * grey[at];
        sum += edge;
        squares += edge * edge;
        count++;
      }
    }
    const sharpness = squares / count - (sum / count) ** 2;
    const dark = light / grey.length / 255 < DARK;
    const text = dark ? form.dataset.dark : sharpness < SHARP ? form.dataset.still : form.dataset.good;
    // Said again only when it changes, or a screen reader never stops.
    if (said.textContent !== text) say(text);
    timer = setTimeout(hint, 500);
  };

  open.addEventListener("click", async () => {
    // While the browser asks whether it may, nothing else is begun.
    open.disabled = true;
    say("");
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: { ideal: selfie ? "user" : "environment" }, width: { ideal: 2560 }, height: { ideal: 1440 } },
      });
      video.srcObject = stream;
      await video.play();
      taken.hidden = open.hidden = true;
      view.hidden = take.hidden = false;
      take.focus();
      hint();
    } catch {
      close();
      say(form.dataset.refused);
      file.focus();
    }
    open.disabled = false;
  });
  take.addEventListener("click", async () => {
    await keep(video, video.videoWidth, video.videoHeight);
    close();
    say("");
    form.querySelector("button[type=submit]").focus();
  });
  addEventListener("pagehide", close);
  if (navigator.mediaDevices?.getUserMedia) place.hidden = false;
})();
