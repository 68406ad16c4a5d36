"""The Python library `acme`, told what to do as drivers/library.rs says."""

import contextlib
import json
import os
import subprocess
import sys

import josepy
from acme import client, crypto_util, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

ACCOUNT = "account.json"


def main():
    operation, *arguments = sys.argv[1:]
    {
        "register": register, "issue": issue, "revoke": revoke, "contact": contact, "deactivate": deactivate,
    }[operation](*arguments)


def register(address, kid, mac_key):
    key = josepy.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    acme = connect(key)
    binding = messages.ExternalAccountBinding.from_data(key.public_key(), kid, mac_key, acme.directory)
    account = acme.new_account(messages.NewRegistration.from_data(
        email=address, terms_of_service_agreed=True, external_account_binding=binding))
    # The reply shows the binding, as it must (RFC 8555, 7.3.4); acme 2.1 reads that and cannot write it again.
    account = account.update(body=account.body.update(external_account_binding=None))
    with open(ACCOUNT, "w", encoding="utf-8") as file:
        json.dump({"key": key.to_json(), "account": account.to_json()}, file)


def issue(challenge, key_file, chain_file, *names):
    acme, _ = resume()
    with open(key_file, "rb") as file:
        csr = crypto_util.make_csr(file.read(), names)
    order = acme.new_order(csr)
    with contextlib.ExitStack() as answers:
        chosen = [(authorization.body.identifier.value, one) for authorization in order.authorizations
                  for one in authorization.body.challenges if one.chall.typ == challenge]
        answer = {"http-01": answer_http, "dns-01": answer_dns}[challenge]
        for name, one in chosen:
            answers.enter_context(answer(acme.net.key, name, one))
            acme.answer_challenge(one, one.response(acme.net.key))
        try:
            order = acme.poll_and_finalize(order)
        except errors.ValidationError as error:
            sys.exit(f"not valid: {error.failed_authzrs}")
    with open(chain_file, "w", encoding="ascii") as file:
        file.write(order.fullchain_pem)


def revoke(chain_file):
    acme, _ = resume()
    with open(chain_file, "rb") as file:
        leaf = crypto.load_certificate(crypto.FILETYPE_PEM, file.read())
    acme.revoke(josepy.ComparableX509(leaf), 4)


def contact(address):
    acme, account = resume()
    acme.update_registration(account.update(body=account.body.update(contact=("mailto:" + address,))))


def deactivate():
    acme, account = resume()
    acme.deactivate_registration(account)


@contextlib.contextmanager
def answer_http(key, _name, challenge):
    path = os.path.join(os.environ["CHALLENGES"], challenge.chall.encode("token"))
    with open(path, "w", encoding="ascii") as file:
        file.write(challenge.validation(key))
    yield
    os.remove(path)


@contextlib.contextmanager
def answer_dns(key, name, challenge):
    record = [challenge.validation_domain_name(name), challenge.validation(key)]
    subprocess.run([os.environ["TXT_RECORD"], "add", *record], check=True)
    yield
    subprocess.run([os.environ["TXT_RECORD"], "remove", *record], check=True)


def resume():
    with open(ACCOUNT, encoding="utf-8") as file:
        saved = json.load(file)
    account = messages.RegistrationResource.from_json(saved["account"])
    return connect(josepy.JWK.from_json(saved["key"]), account), account


def connect(key, account=None):
    net = client.ClientNetwork(key, account=account, alg=josepy.ES256)
    return client.ClientV2(client.ClientV2.get_directory(os.environ["DIRECTORY"], net), net)


main()
