// Opens a PKCS#12 file that is protected by PBES2 with AES, the only kind that WebCrypto can decrypt.
//
// The file's own MAC is not checked. It has a third key derivation, in a hash loop that takes browsers
// seconds, and would tell nothing here: a wrong password shows when the decrypted bytes are no bags, and a
// key is used only with a certificate whose public key verifies what it signs.

import type * as asn1js from "asn1js";
import {
  AlgorithmIdentifier,
  AuthenticatedSafe,
  CertBag,
  Certificate,
  ContentInfo,
  EncryptedContentInfo,
  EncryptedData,
  getEngine,
  PBES2Params,
  PFX,
  PKCS8ShroudedKeyBag,
  PrivateKeyInfo,
  SafeContents,
} from "pkijs";
import { Problem } from "./problems";

const DATA = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";
const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
// AES-192 is missing: Chrome's WebCrypto refuses it.
const AES_CBC = new Set(["2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.42"]);
const MAX_BYTES = 1_000_000;

export interface Contents {
  keys: PrivateKeyInfo[];
  certificates: Certificate[];
}

/** The private keys and certificates of a PKCS#12 file. */
export async function open(file: ArrayBuffer, password: string): Promise<Contents> {
  const safes = authenticatedSafe(file).safeContents.map(take);
  const secret = new TextEncoder().encode(password).buffer;
  const found: Contents = { keys: [], certificates: [] };
  for (const safe of safes) {
    const contents = safe instanceof SafeContents ? safe : await decrypted(safe, secret, (bytes) => SafeContents.fromBER(bytes));
    await collect(contents, secret, found);
  }
  return found;
}

/** The bags of a safe, or its readable encryption: no password opens what the browser cannot decrypt. */
function take(safe: ContentInfo): SafeContents | EncryptedContentInfo {
  if (safe.contentType === DATA) {
    return read(() => SafeContents.fromBER(octets(safe)));
  }
  if (safe.contentType !== ENCRYPTED_DATA) {
    throw new Problem("legacy"); // Encrypted to somebody's public key, which nobody does with an e-Cert.
  }
  const { encryptedContentInfo } = read(() => new EncryptedData({ schema: safe.content }));
  requireReadable(encryptedContentInfo.contentEncryptionAlgorithm);
  return encryptedContentInfo;
}

function authenticatedSafe(file: ArrayBuffer): AuthenticatedSafe {
  if (file.byteLength > MAX_BYTES) {
    throw new Problem("not-pkcs12");
  }
  return read(() => AuthenticatedSafe.fromBER(octets(PFX.fromBER(file).authSafe)));
}

function octets(info: ContentInfo): ArrayBuffer {
  return (info.content as asn1js.OctetString).getValue();
}

async function collect(contents: SafeContents, secret: ArrayBuffer, found: Contents): Promise<void> {
  for (const { bagValue } of contents.safeBags) {
    if (bagValue instanceof PKCS8ShroudedKeyBag) {
      requireReadable(bagValue.encryptionAlgorithm);
      const content = new EncryptedContentInfo({
        contentEncryptionAlgorithm: bagValue.encryptionAlgorithm,
        encryptedContent: bagValue.encryptedData,
      });
      found.keys.push(await decrypted(content, secret, (bytes) => PrivateKeyInfo.fromBER(bytes)));
    } else if (bagValue instanceof PrivateKeyInfo) {
      found.keys.push(bagValue);
    } else if (bagValue instanceof CertBag && bagValue.parsedValue instanceof Certificate) {
      found.certificates.push(bagValue.parsedValue);
    }
  }
}

function requireReadable(algorithm: AlgorithmIdentifier): void {
  if (algorithm.algorithmId !== PBES2) {
    throw new Problem("legacy");
  }
  const { keyDerivationFunc, encryptionScheme } = read(() => new PBES2Params({ schema: algorithm.algorithmParams }));
  if (keyDerivationFunc.algorithmId !== PBKDF2 || !AES_CBC.has(encryptionScheme.algorithmId)) {
    throw new Problem("legacy");
  }
}

async function decrypted<T>(
  encryptedContentInfo: EncryptedContentInfo,
  secret: ArrayBuffer,
  parse: (bytes: ArrayBuffer) => T,
): Promise<T> {
  try {
    return parse(await getEngine().crypto!.decryptEncryptedContentInfo({ password: secret, encryptedContentInfo }));
  } catch {
    // Bad padding, or by chance good padding round bytes that are no ASN.1: the algorithms were checked before.
    throw new Problem("wrong-password");
  }
}

function read<T>(parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Problem("not-pkcs12");
  }
}
