"""Where chance comes from: a seed for everything that has a name, the same in any order and after any kill."""

import hashlib


def seed_of(seed: int, *names: object) -> int:
    """A 63-bit seed for one clip: neither worker count nor order nor a resume changes it."""
    text = "\0".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
