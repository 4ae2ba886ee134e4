// One form that signs (its markup is described in README.md): file and password in, base64 CMS out.

import { sign } from "./cms";
import { open } from "./pkcs12";
import { Problem, type ProblemName } from "./problems";
import { findSigner } from "./signer";

// OpenSSL 3. Between the two the key lies in old.pem, under a pass phrase that the first asks for; through
// a pipe it cannot go, since the second reads its input twice.
const CONVERT = "openssl pkcs12 -legacy -in old.p12 -out old.pem\nopenssl pkcs12 -export -in old.pem -out new.p12";
const ABOUT_PASSWORD: ReadonlySet<ProblemName> = new Set(["no-password", "wrong-password"]);

interface Parts {
  form: HTMLFormElement;
  file: HTMLInputElement;
  password: HTMLInputElement;
  signature: HTMLInputElement;
  message: HTMLElement;
}

/** Show the form, awaken it and let it sign. Without this script it stays hidden, before it nothing can be sent. */
export function enhance(form: HTMLFormElement): void {
  const parts: Parts = {
    form,
    file: part(form, "[data-sign-file]"),
    password: part(form, "[data-sign-password]"),
    signature: part(form, "[data-sign-signature]"),
    message: part(form, "[data-sign-message]"),
  };
  const clockError = form.dataset.time ? Date.parse(form.dataset.time) - Date.now() : 0;
  // A field without a name is never sent, whatever the page says.
  parts.file.removeAttribute("name");
  parts.password.removeAttribute("name");
  let busy = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!busy) {
      busy = true;
      void attempt(parts, clockError).then((signed) => {
        busy = signed;
      });
    }
  });
  // Back from the next page: the browser may show this one as it was left.
  window.addEventListener("pageshow", () => {
    busy = false;
    parts.signature.value = "";
    say(parts, "");
  });
  form.hidden = false;
  form.inert = false;
}

/** Sign and send; or say why not, and return false. */
async function attempt(parts: Parts, clockError: number): Promise<boolean> {
  say(parts, parts.form.dataset.textWorking ?? "");
  parts.form.setAttribute("aria-busy", "true");
  try {
    parts.signature.value = await makeSignature(parts, new Date(Date.now() + clockError));
  } catch (error) {
    complain(parts, error instanceof Problem ? error.problem : "failed");
    return false;
  } finally {
    parts.form.removeAttribute("aria-busy");
  }
  parts.password.value = "";
  parts.file.value = "";
  parts.form.submit();
  return true;
}

async function makeSignature(parts: Parts, when: Date): Promise<string> {
  const chosen = parts.file.files?.[0];
  if (!chosen) {
    throw new Problem("no-file");
  }
  if (!parts.password.value) {
    throw new Problem("no-password");
  }
  const signer = await findSigner(await open(await chosen.arrayBuffer(), parts.password.value));
  const document = Uint8Array.from(atob(parts.form.dataset.document ?? ""), (character) => character.charCodeAt(0));
  const signature = new Uint8Array(await sign(document, signer, when));
  return btoa(Array.from(signature, (byte) => String.fromCharCode(byte)).join(""));
}

function complain(parts: Parts, problem: ProblemName): void {
  say(parts, parts.form.getAttribute(`data-text-${problem}`) ?? "");
  parts.message.classList.add("portal-sign__message--error");
  if (problem === "legacy") {
    const command = document.createElement("code");
    command.className = "portal-code";
    command.textContent = CONVERT;
    parts.message.append(command);
  }
  const field = ABOUT_PASSWORD.has(problem) ? parts.password : parts.file;
  field.setAttribute("aria-invalid", "true");
  field.focus();
}

function say(parts: Parts, text: string): void {
  parts.message.textContent = text;
  parts.message.classList.remove("portal-sign__message--error");
  parts.file.removeAttribute("aria-invalid");
  parts.password.removeAttribute("aria-invalid");
}

function part<T extends HTMLElement>(form: HTMLFormElement, selector: string): T {
  const found = form.querySelector<T>(selector);
  if (!found) {
    throw new Error(`A form that signs needs ${selector}`);
  }
  return found;
}
