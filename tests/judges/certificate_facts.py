"""Print, as JSON, what Python's cryptography reads in each certificate of a PEM file."""

import calendar
import json
import re
import sys

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID

USAGES = [
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign",
]


def main():
    text = open(sys.argv[1], "rb").read()
    blocks = re.findall(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
    print(json.dumps([facts(x509.load_pem_x509_certificate(block)) for block in blocks]))


def facts(certificate):
    return {
        "version": certificate.version.name,
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial_bits": certificate.serial_number.bit_length(),
        "serial": str(certificate.serial_number),
        "not_before": calendar.timegm(certificate.not_valid_before.timetuple()),
        "not_after": calendar.timegm(certificate.not_valid_after.timetuple()),
        "hash": certificate.signature_hash_algorithm and certificate.signature_hash_algorithm.name,
        "public_key": certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ).hex(),
        "extensions": {extension.oid._name: value_of(extension) for extension in certificate.extensions},
    }


def value_of(extension):
    return {"critical": extension.critical, "value": readable(extension.oid, extension.value)}


def readable(oid, value):
    if oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
        return [f"{type(name).__name__}:{name.value}" for name in value]
    if oid == ExtensionOID.KEY_USAGE:
        return [usage for usage in USAGES if getattr(value, usage)]
    if oid == ExtensionOID.EXTENDED_KEY_USAGE:
        return [usage._name for usage in value]
    if oid == ExtensionOID.BASIC_CONSTRAINTS:
        return {"ca": value.ca, "path_length": value.path_length}
    if oid == ExtensionOID.SUBJECT_KEY_IDENTIFIER:
        return value.digest.hex()
    if oid == ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
        return value.key_identifier.hex()
    return str(value)


main()
