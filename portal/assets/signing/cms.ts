// Detached CMS as CAdES baseline B-B asks: the signer's certificate alone, its hash among what is signed.

import * as asn1js from "asn1js";
import {
  Attribute,
  ContentInfo,
  EncapsulatedContentInfo,
  IssuerAndSerialNumber,
  SignedAndUnsignedAttributes,
  SignedData,
  SignerInfo,
} from "pkijs";
import type { Signer } from "./signer";

const DATA = "1.2.840.113549.1.7.1";
const SIGNED_DATA = "1.2.840.113549.1.7.2";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const SIGNING_TIME = "1.2.840.113549.1.9.5";
const SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";
const SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
const HASH = "SHA-256";

/** The DER of a signature over `document`, claimed to be made at `when`. */
export async function sign(document: BufferSource, { key, certificate }: Signer, when: Date): Promise<ArrayBuffer> {
  // pkijs signs and writes them as they come. DER wants a set sorted: these are, each being longer than the one before.
  const attributes = [
    new Attribute({ type: CONTENT_TYPE, values: [new asn1js.ObjectIdentifier({ value: DATA })] }),
    new Attribute({ type: SIGNING_TIME, values: [time(when)] }),
    new Attribute({ type: MESSAGE_DIGEST, values: [await digest(document)] }),
    new Attribute({ type: SIGNING_CERTIFICATE_V2, values: [reference(await digest(certificate.toSchema().toBER()))] }),
  ];
  const signerInfo = new SignerInfo({
    version: 1,
    sid: new IssuerAndSerialNumber({ issuer: certificate.issuer, serialNumber: certificate.serialNumber }),
    signedAttrs: new SignedAndUnsignedAttributes({ type: 0, attributes }),
  });
  const signedData = new SignedData({
    version: 1,
    encapContentInfo: new EncapsulatedContentInfo({ eContentType: DATA }),
    certificates: [certificate],
    signerInfos: [signerInfo],
  });
  await signedData.sign(key, 0, HASH);
  if (signerInfo.signatureAlgorithm.algorithmId === SHA256_WITH_RSA) {
    signerInfo.signatureAlgorithm.algorithmParams = new asn1js.Null(); // RFC 4055 5 demands it, pkijs leaves it out.
  }
  return new ContentInfo({ contentType: SIGNED_DATA, content: signedData.toSchema(true) }).toSchema().toBER();
}

async function digest(bytes: BufferSource): Promise<asn1js.OctetString> {
  return new asn1js.OctetString({ valueHex: await crypto.subtle.digest(HASH, bytes) });
}

/** SigningCertificateV2 of one certificate; SHA-256 is the default of its hash algorithm and so left out. */
function reference(hash: asn1js.OctetString): asn1js.Sequence {
  const certificates = new asn1js.Sequence({ value: [new asn1js.Sequence({ value: [hash] })] });
  return new asn1js.Sequence({ value: [certificates] });
}

/** RFC 5652 11.3: UTCTime until 2049, GeneralizedTime after. */
function time(when: Date): asn1js.UTCTime {
  return when.getUTCFullYear() < 2050 ? new asn1js.UTCTime({ valueDate: when }) : new asn1js.GeneralizedTime({ valueDate: when });
}
