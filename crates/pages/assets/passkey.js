// Passkeys: the only thing on these pages that a browser does by script.
"use strict";
document.querySelectorAll("[data-passkey]").forEach((area) => {
  if (!window.PublicKeyCredential) return;
  const csrf = document.querySelector("input[name=csrf]").value;
  const status = area.querySelector("[role=status]");
  const decode = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const encode = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const say = (text) => { status.textContent = text; };

  const call = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ csrf, ...body }),
    });
    const value = answer.headers.get("content-type")?.startsWith("application/json")
      ? await answer.json() : {};
    if (!answer.ok) throw new Error(value.detail || area.dataset.failed);
    return value;
  };
  const ids = (list) => (list || []).map((item) => ({ ...item, id: decode(item.id) }));
  const answered = (credential, response) => ({
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    extensions: credential.getClientExtensionResults(),
    response,
  });

  const register = async () => {
    const name = area.querySelector("[name=passkey_name]").value;
    const { publicKey, ceremony } = await call("/account/passkeys/begin", {});
    publicKey.challenge = decode(publicKey.challenge);
    publicKey.user.id = decode(publicKey.user.id);
    publicKey.excludeCredentials = ids(publicKey.excludeCredentials);
    const made = await navigator.credentials.create({ publicKey });
    const { response } = made;
    await call("/account/passkeys", {
      name,
      ceremony,
      credential: answered(made, {
        attestationObject: encode(response.attestationObject),
        clientDataJSON: encode(response.clientDataJSON),
        transports: response.getTransports ? response.getTransports() : undefined,
      }),
    });
    location.assign(area.dataset.returnTo || "/account/security");
  };

  let waiting = null;
  const logIn = async (mediation) => {
    waiting?.abort();
    waiting = new AbortController();
    const { signal } = waiting;
    const { publicKey, ceremony } = await call("/login/passkey/begin", {});
    publicKey.challenge = decode(publicKey.challenge);
    publicKey.allowCredentials = ids(publicKey.allowCredentials);
    const got = await navigator.credentials.get({ publicKey, mediation, signal });
    const { response } = got;
    const { location: next } = await call("/login/passkey", {
      ceremony,
      return_to: area.dataset.returnTo,
      credential: answered(got, {
        authenticatorData: encode(response.authenticatorData),
        clientDataJSON: encode(response.clientDataJSON),
        signature: encode(response.signature),
        userHandle: response.userHandle ? encode(response.userHandle) : null,
      }),
    });
    location.assign(next);
  };

  const run = async (work) => {
    say("");
    try {
      await work();
    } catch (error) {
      // Whoever closes the dialogue knows that they did.
      if (error.name !== "AbortError" && error.name !== "NotAllowedError") say(error.message);
    }
  };
  area.hidden = false;
  const work = area.dataset.passkey === "register" ? register : () => logIn("optional");
  area.querySelector("button").addEventListener("click", () => run(work));
  if (area.dataset.passkey === "login" && PublicKeyCredential.isConditionalMediationAvailable) {
    PublicKeyCredential.isConditionalMediationAvailable().then((can) => {
      if (can) run(() => logIn("conditional"));
    });
  }
});
