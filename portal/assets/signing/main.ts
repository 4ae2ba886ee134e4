// Entry of the bundle: every form that signs, where the browser can.

import { enhance } from "./form";

// WebCrypto is missing outside https; then the other ways to sign on the page are the ones.
if (window.crypto?.subtle) {
  document.querySelectorAll<HTMLFormElement>("form[data-sign]").forEach(enhance);
}
