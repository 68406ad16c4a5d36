"""The judges that are Python's: cryptography and pkilint, on a bench that sits for a whole test run.

Each line of standard input is a request in JSON, each line of standard output its answer: a list of complaints, empty
when there is nothing to complain of. Documents are DER in hexadecimal.
"""

import contextlib
import datetime
import functools
import io
import ipaddress
import json
import sys
import tempfile
import traceback

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp, verification
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID
from pkilint import finding_filter, loader
from pkilint.bin import lint_crl, lint_ocsp_response, lint_pkix_cert, lint_pkix_signer_signee_cert_chain
from pkilint.cabf import serverauth
from pkilint.cabf.serverauth.serverauth_constants import CertificateType
from pkilint.pkix import certificate as pkix_certificate
from pkilint.report import REPORT_FORMATS

ED25519 = PublicKeyAlgorithmOID.ED25519


def main():
    # Whatever else prints something, only answers go to standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        judge = JUDGES[request.pop("judge")]
        try:
            answer = judge(**request)
        except Exception as error:
            answer = [complaint_of(error)]
        print(json.dumps(answer), file=answers, flush=True)


def complaint_of(error):
    expected = (ValueError, InvalidSignature, verification.VerificationError, x509.ExtensionNotFound)
    if isinstance(error, expected):
        return f"{type(error).__name__}: {error}"
    return traceback.format_exc()


# cryptography


def chain(chain, root, names):
    leaf, *above = (read(certificate) for certificate in chain)
    root = read(root)
    issuer = next((candidate for candidate in [*above, root] if candidate.subject == leaf.issuer), None)
    if issuer is None:
        return ["nobody in the chain has the name of the leaf's issuer"]
    complaints = directly_issued(leaf, issuer) + failures({"it is valid now": is_valid_now(leaf)})
    if ED25519 in (leaf.public_key_algorithm_oid, issuer.public_key_algorithm_oid):
        # Paths are validated as the Baseline Requirements want it, which know nothing of Ed25519.
        return complaints + failures({f"it is for {name}": is_for(leaf, name) for name in names})
    policy = verification.PolicyBuilder().store(verification.Store([root])).time(now())
    for name in names:
        with complaining_into(complaints, f"as a server, for {name}: "):
            policy.build_server_verifier(subject(name)).verify(leaf, above)
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if ExtendedKeyUsageOID.CLIENT_AUTH in purposes:
        with complaining_into(complaints, "as a client: "):
            policy.build_client_verifier().verify(leaf, above)
    return complaints


def ca_certificate(certificate, issuer):
    """`issuer` may be the certificate itself."""
    certificate, issuer = read(certificate), read(issuer)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    return directly_issued(certificate, issuer) + failures({
        "basicConstraints is critical and says cA": constraints.critical and constraints.value.ca,
        "keyUsage is critical and says keyCertSign": usage.critical and usage.value.key_cert_sign,
        # RFC 5280, 4.2.1.2, method 1, or RFC 7093, 2, method 1.
        "subjectKeyIdentifier is a hash of its key": own_identifier(certificate)
        in (digest(SHA1(), key_bits(certificate)), digest(SHA256(), key_bits(certificate))[:20]),
        "the subject is not empty": len(list(certificate.subject)) > 0,
        "it is valid now": is_valid_now(certificate),
    })


def crl(crl, issuer):
    der = bytes.fromhex(crl)
    crl = x509.load_der_x509_crl(der)
    issuer = read(issuer)
    serials = [entry.serial_number for entry in crl]
    complaints = canonical(crl, der, crl.tbs_certlist_bytes, crl.extensions)
    for entry in crl:
        complaints += extensions_are_canonical(entry.extensions, crl.tbs_certlist_bytes)
    if not crl.is_signature_valid(issuer.public_key()):
        complaints.append("the signature is not the issuer's")
    complaints += failures({
        "the issuer's name is that of its certificate": same_name(crl.issuer, issuer.subject),
        "the issuer may sign CRLs": issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign,
        "it is current": crl.next_update_utc is not None and crl.last_update_utc <= now() < crl.next_update_utc,
        # RFC 5280, 5.2.1 and 5.2.3: both are required of every CRL.
        "authorityKeyIdentifier is the issuer's": authority(crl.extensions) == own_identifier(issuer),
        "it has a number": crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number >= 0,
        "each serial number stands once": len(serials) == len(set(serials)),
        "nothing was revoked later than now": all(entry.revocation_date_utc <= now() for entry in crl),
    })
    return complaints


def ocsp_response(response, leaf, issuer):
    der = bytes.fromhex(response)
    response = ocsp.load_der_ocsp_response(der)
    if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        return [f"the response is {response.response_status.name}"]
    leaf, issuer = read(leaf), read(issuer)
    answers = list(response.responses)
    complaints = canonical(response, der, response.tbs_response_bytes, response.extensions)
    complaints += extensions_are_canonical(response.single_extensions, response.tbs_response_bytes)
    signer = issuer
    for included in response.certificates:
        # Its bytes as they are in the response have been compared with those that writing them again gives.
        included = read(included.public_bytes(Encoding.DER).hex())
        if included == issuer:
            continue
        complaints += directly_issued(included, issuer)
        complaints += failures({
            "an included certificate is for signing OCSP responses": ExtendedKeyUsageOID.OCSP_SIGNING
            in included.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value,
            "an included certificate is valid now": is_valid_now(included),
        })
        signer = included
    verify(signer.public_key(), response.signature, response.tbs_response_bytes, response.signature_hash_algorithm)
    if response.responder_name is not None:
        named = same_name(response.responder_name, signer.subject)
    else:
        # RFC 6960, 4.2.1, knows no other hash here.
        named = response.responder_key_hash == digest(SHA1(), key_bits(signer))
    complaints += failures({
        "the responder's identifier is that of the signer": named,
        "there is one answer": len(answers) == 1,
        "the answer is about the leaf": response.serial_number == leaf.serial_number,
        "the hash of the issuer's name is right":
            response.issuer_name_hash == digest(response.hash_algorithm, issuer.subject.public_bytes()),
        "the hash of the issuer's key is right":
            response.issuer_key_hash == digest(response.hash_algorithm, key_bits(issuer)),
        "it is current": response.next_update_utc is not None
        and response.this_update_utc <= now() < response.next_update_utc,
        "it was produced before now": response.produced_at_utc <= now(),
    })
    return complaints


def read(der):
    """The certificate, unless it is not in its only encoding, or has an extension that is not known."""
    der = bytes.fromhex(der)
    certificate = x509.load_der_x509_certificate(der)
    complaints = canonical(certificate, der, certificate.tbs_certificate_bytes, certificate.extensions) + failures({
        "it is version 3": certificate.version == x509.Version.v3,
        # RFC 5280, 4.1.2.2.
        "the serial number is positive and has at most 20 octets": 0 < certificate.serial_number < 1 << 159,
    })
    if complaints:
        raise ValueError("; ".join(complaints))
    return certificate


def canonical(document, der, tbs, extensions):
    """Whether writing what was read gives the same bytes."""
    complaints = extensions_are_canonical(extensions, tbs)
    return complaints + failures({
        "its DER is the one that writing it again gives": document.public_bytes(Encoding.DER) == der,
        "the bytes that were signed are the ones that writing them again gives": tbs in der,
    })


def extensions_are_canonical(extensions, tbs):
    complaints = []
    for extension in extensions:
        name = extension.oid.dotted_string
        if isinstance(extension.value, x509.UnrecognizedExtension):
            complaints.append(f"the extension {name} is not known")
            continue
        critical = bytes([1, 1, 0xFF]) if extension.critical else b""
        # FALSE is the default of `critical`, which DER does not write.
        if oid_der(extension.oid) + critical + element(4, extension.value.public_bytes()) not in tbs:
            complaints.append(f"the extension {name} is not written in its only way")
    return complaints


def directly_issued(certificate, issuer):
    complaints = []
    with complaining_into(complaints, "the signature: "):
        certificate.verify_directly_issued_by(issuer)
    try:
        authority_identifier = authority(certificate.extensions)
    except x509.ExtensionNotFound:
        # RFC 5280, 4.2.1.1: only a self-signed certificate may be without.
        complaints += failures({"authorityKeyIdentifier is there": certificate.subject == certificate.issuer})
    else:
        complaints += failures({"authorityKeyIdentifier is the issuer's": authority_identifier == own_identifier(issuer)})
    return complaints + failures({
        "its issuer is the issuer's subject, byte for byte": same_name(certificate.issuer, issuer.subject),
    })


def verify(key, signature, signed, algorithm):
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm))
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, signed)
    else:
        raise ValueError(f"a signer's key of the kind {type(key).__name__}")


def authority(extensions):
    return extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def own_identifier(certificate):
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def same_name(one, other):
    return one.public_bytes() == other.public_bytes()


def key_bits(certificate):
    """The content of subjectPublicKey."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def digest(algorithm, octets):
    hash = Hash(algorithm)
    hash.update(octets)
    return hash.finalize()


def subject(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def is_for(leaf, name):
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return subject(name) in names or x509.DNSName("*." + name.partition(".")[2]) in names


def is_valid_now(certificate):
    return certificate.not_valid_before_utc <= now() <= certificate.not_valid_after_utc


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def failures(rules):
    return [f"it does not hold that {rule}" for rule, holds in rules.items() if not holds]


@contextlib.contextmanager
def complaining_into(complaints, where):
    try:
        yield
    except Exception as error:
        complaints.append(where + complaint_of(error))


def oid_der(oid):
    first, second, *rest = (int(part) for part in oid.dotted_string.split("."))
    content = b""
    for number in [first * 40 + second, *rest]:
        octets = [number & 0x7F]
        while number := number >> 7:
            octets.insert(0, number & 0x7F | 0x80)
        content += bytes(octets)
    return element(6, content)


def element(tag, content):
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


# pkilint


def lint(linter, documents):
    """What pkilint's command line finds, as [severity, code, where and what]."""
    with contextlib.ExitStack() as stack:
        files = []
        for document in documents:
            file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".der"))
            file.write(bytes.fromhex(document))
            file.flush()
            files.append(file.name)
        return [
            [finding["severity"], finding["code"], f"{result['node_path']}: {finding['message'] or 'so it is'}"]
            for result in json.loads(LINTERS[linter](files))["results"]
            for finding in result["finding_descriptions"]
        ]


def command_line(main, *arguments):
    def run(files):
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            main(["lint", *arguments, "--format", "JSON", "--document-format", "DER", *files])
        if not said.getvalue():
            raise ValueError(complained.getvalue())
        return said.getvalue()

    return run


def cabf_serverauth(files):
    """lint_cabf_serverauth_cert --type DV-FINAL-CERTIFICATE, with the third of a second spent once that it takes to
    gather its rules."""
    [file] = files
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(open(file, "rb").read(), file)
    results, _ = finding_filter.filter_results(cabf_filters(), cabf_rules().validate(document.root))
    return REPORT_FORMATS["JSON"](results, None).generate()


@functools.cache
def cabf_rules():
    kind = CertificateType.DV_FINAL_CERTIFICATE
    rules = serverauth.create_validators(kind)
    return pkix_certificate.create_pkix_certificate_validator_container(serverauth.create_decoding_validators(), rules)


def cabf_filters():
    return serverauth.create_serverauth_finding_filters(CertificateType.DV_FINAL_CERTIFICATE)


LINTERS = {
    "lint_pkix_cert": command_line(lint_pkix_cert.main),
    "lint_pkix_signer_signee_cert_chain": command_line(lint_pkix_signer_signee_cert_chain.main),
    "lint_cabf_serverauth_cert": cabf_serverauth,
    "lint_crl": command_line(lint_crl.main, "--type", "CRL", "--profile", "PKIX"),
    "lint_ocsp_response": command_line(lint_ocsp_response.main),
}

JUDGES = {
    "chain": chain,
    "ca_certificate": ca_certificate,
    "crl": crl,
    "ocsp_response": ocsp_response,
    "lint": lint,
}

main()
