"""Write to stdout, in DER, a properly signed CSR for the name argv[2], under an RSA key that is broken as argv[1] says."""

import hashlib
import random
import sys

from cryptography.hazmat.primitives.asymmetric import rsa

E = 65537
PRIMES = [n for n in range(2, 752) if all(n % d for d in range(2, int(n**0.5) + 1))]


def is_prime(n):
    if n < 2 or any(n % p == 0 for p in PRIMES):
        return n in PRIMES
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for _ in range(8):
        x = pow(random.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def numbers(bits):
    private = rsa.generate_private_key(E, bits).private_numbers()
    return private.p, private.q


def small_factor():
    """One prime factor is 751: found by trial division."""
    p, q = numbers(2040)
    return 751 * p * q, 750 * (p - 1) * (q - 1)


def roca():
    """Primes k * M + 65537**a mod M, as the library of CVE-2017-15361 made them."""
    m = 1
    for prime in PRIMES[:126]:
        m *= prime

    def prime():
        while True:
            k = random.randrange((3 << 1022) // m, (1 << 1024) // m)
            candidate = k * m + pow(E, random.randrange(1 << 60), m)
            if candidate.bit_length() == 1024 and is_prime(candidate) and (candidate - 1) % E:
                return candidate

    p, q = prime(), prime()
    return p * q, (p - 1) * (q - 1)


def close_primes():
    """Two primes that lie next to each other: Fermat's method finds them at once (CVE-2022-26320)."""
    p, _ = numbers(2048)
    q = p + 2
    while not is_prime(q):
        q += 2
    return p * q, (p - 1) * (q - 1)


def element(tag, *parts):
    content = b"".join(parts)
    length = len(content)
    head = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + head + content


def integer(value):
    return element(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def csr(n, phi, name):
    null = b"\x05\x00"
    rsa_encryption = bytes.fromhex("06092a864886f70d010101")
    sha256_with_rsa = element(0x30, bytes.fromhex("06092a864886f70d01010b"), null)
    key = element(0x30, integer(n), integer(E))
    spki = element(0x30, element(0x30, rsa_encryption, null), element(3, b"\x00", key))
    san = element(0x30, bytes.fromhex("0603551d11"), element(4, element(0x30, element(0x82, name.encode()))))
    attribute = element(0x30, bytes.fromhex("06092a864886f70d01090e"), element(0x31, element(0x30, san)))
    information = element(0x30, integer(0), element(0x30), spki, element(0xA0, attribute))
    size = (n.bit_length() + 7) // 8
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(information).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    signature = pow(int.from_bytes(padded, "big"), pow(E, -1, phi), n).to_bytes(size, "big")
    return element(0x30, information, sha256_with_rsa, element(3, b"\x00", signature))


def main():
    kinds = {"small-factor": small_factor, "roca": roca, "close-primes": close_primes}
    n, phi = kinds[sys.argv[1]]()
    sys.stdout.buffer.write(csr(n, phi, sys.argv[2]))


main()
