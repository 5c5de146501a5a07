#!/usr/bin/env python3
"""Decodes a file of an encrypted VFS by docs/formats.md alone, as a second opinion.

usage: decode.py KEYFILE FILE < SECRET > CONTENT

SECRET is the master key in hexadecimal, or the passphrase, as KEYFILE asks for.
Needs python3-cryptography, and for passphrases its version 44 or python3-argon2.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    sys.exit("missing: python3-cryptography")

HEADER, SEGMENT, OVERHEAD, GROUP = 128, 65536, 28, 256


def hkdf(key, info, length=32):
    """HKDF of RFC 5869 with SHA-256, no salt; one block is enough."""
    prk = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()[:length]


def unseal(key, sealed, bound):
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], bound)


def argon2id(passphrase, salt, p):
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
        return Argon2id(salt=salt, length=32, iterations=p["time"], lanes=p["threads"],
                        memory_cost=p["memory_kib"]).derive(passphrase)
    except ImportError:
        pass
    try:
        from argon2.low_level import Type, hash_secret_raw
    except ImportError:
        sys.exit("missing: python3-argon2")
    return hash_secret_raw(passphrase, salt, p["time"], p["memory_kib"], p["threads"], 32, Type.ID)


def vfs_key(doc, secret):
    bound = "ss-server-vfs-key\n%d\n%s\n" % (doc["version"], doc["id"])
    if "argon2id" in doc:
        p = doc["argon2id"]
        salt = base64.b64decode(p["salt"])
        bound += "argon2id\n%s\n%d\n%d\n%d\n" % (salt.hex(), p["time"], p["memory_kib"], p["threads"])
        wrapper = argon2id(secret, salt, p)
    else:
        bound += "master\n%s\n" % doc["master"]
        wrapper = bytes.fromhex(secret.decode())
    return unseal(wrapper, base64.b64decode(doc["sealed"]), bound.encode())


def decode(raw, key, key_id, out):
    magic, version, cipher, segment, file_key_id, file_id = struct.unpack("<8sHHI16s16s", raw[:48])
    if (magic, version, cipher, segment) != (b"SSEVFS7\n", 1, 1, SEGMENT):
        sys.exit("not a file of an encrypted VFS")
    if file_key_id.hex() != key_id:
        sys.exit("another key")
    file_key = unseal(key, raw[68:HEADER], raw[:68])
    body = raw[HEADER:]
    count = -(-len(body) // (SEGMENT + OVERHEAD))
    if count == 0:
        sys.exit("incomplete")
    for i in range(count):
        sealed = body[i * (SEGMENT + OVERHEAD):(i + 1) * (SEGMENT + OVERHEAD)]
        group = hkdf(file_key, b"segments %d" % (i // GROUP))
        bound = file_id + struct.pack("<QB", i, i == count - 1)
        out.write(unseal(group, sealed, bound))


def main():
    with open(sys.argv[1], "rb") as f:
        doc = json.load(f)
    with open(sys.argv[2], "rb") as f:
        raw = f.read()
    try:
        decode(raw, vfs_key(doc, sys.stdin.buffer.read()), doc["id"], sys.stdout.buffer)
    except InvalidTag:
        sys.exit("does not check out")


main()
