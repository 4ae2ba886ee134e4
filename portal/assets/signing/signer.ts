// A private key that the browser holds for one signature, and the certificate that belongs to it.

import { Certificate, PrivateKeyInfo } from "pkijs";
import type { Contents } from "./pkcs12";
import { Problem } from "./problems";

export interface Signer {
  key: CryptoKey;
  certificate: Certificate;
}

type KeyAlgorithm = RsaHashedImportParams | (EcKeyImportParams & EcdsaParams);

const ALGORITHMS: Readonly<Record<string, KeyAlgorithm>> = {
  "1.2.840.113549.1.1.1": { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  "1.2.840.10045.2.1": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
};
const KEY_USAGE = "2.5.29.15";
const DIGITAL_SIGNATURE_OR_NON_REPUDIATION = 0xc0;

/** The key that may sign. Its certificate is the one whose public key verifies what it signs. */
export async function findSigner({ keys, certificates }: Contents): Promise<Signer> {
  const signing = certificates.filter(maySign);
  for (const info of keys) {
    const algorithm = ALGORITHMS[info.privateKeyAlgorithm.algorithmId];
    const key = algorithm && (await importPrivate(info, algorithm));
    if (!algorithm || !key) {
      continue;
    }
    for (const certificate of signing) {
      if (await belong(key, certificate, algorithm)) {
        return { key, certificate };
      }
    }
  }
  throw new Problem("no-key");
}

async function importPrivate(info: PrivateKeyInfo, algorithm: KeyAlgorithm): Promise<CryptoKey | undefined> {
  try {
    return await crypto.subtle.importKey("pkcs8", info.toSchema().toBER(), algorithm, false, ["sign"]);
  } catch {
    return undefined; // Another curve, or a key that the browser finds broken: not one to sign with.
  }
}

function maySign(certificate: Certificate): boolean {
  const usage = certificate.extensions?.find((extension) => extension.extnID === KEY_USAGE);
  if (!usage) {
    return true;
  }
  const bits: Uint8Array = usage.parsedValue.valueBlock.valueHexView;
  return ((bits[0] ?? 0) & DIGITAL_SIGNATURE_OR_NON_REPUDIATION) !== 0;
}

async function belong(key: CryptoKey, certificate: Certificate, algorithm: KeyAlgorithm): Promise<boolean> {
  const info = certificate.subjectPublicKeyInfo;
  if (ALGORITHMS[info.algorithm.algorithmId] !== algorithm) {
    return false;
  }
  const probe = crypto.getRandomValues(new Uint8Array(32));
  try {
    const publicKey = await crypto.subtle.importKey("spki", info.toSchema().toBER(), algorithm, false, ["verify"]);
    return await crypto.subtle.verify(algorithm, publicKey, await crypto.subtle.sign(algorithm, key, probe), probe);
  } catch {
    return false; // A CA's key on a curve that the browser does not know.
  }
}
