"""RSA "private keys" of two public Mersenne primes: small to send, slow for a library to validate."""

import base64

from asn1crypto import keys as asn1_keys


def private_key_pem(first: int, second: int) -> str:
    """Return the PEM (PKCS#1) of the key whose primes are 2**first - 1 and 2**second - 1; anybody can write it down."""
    p, q, e = 2**first - 1, 2**second - 1, 65_537
    d = pow(e, -1, (p - 1) * (q - 1))
    key = asn1_keys.RSAPrivateKey(
        {
            "version": "two-prime",
            "modulus": p * q,
            "public_exponent": e,
            "private_exponent": d,
            "prime1": p,
            "prime2": q,
            "exponent1": d % (p - 1),
            "exponent2": d % (q - 1),
            "coefficient": pow(q, -1, p),
        }
    )
    body = base64.encodebytes(key.dump()).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n"
