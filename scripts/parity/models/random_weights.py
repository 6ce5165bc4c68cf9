"""Random tensors that this folder and the C++ tests both compute, so that no weight has to be stored.

Counter-based: Philox-4x32-10 with the key and the counters of kernels/runtime/random.h. Only the upper 24 bits of one word
are used, times a power of two, so that both sides get the same fp32 numbers without calling a library function that rounds
differently elsewhere (the square root is exact to the last bit by its standard).
"""

import numpy as np

MASK32 = np.uint64(0xFFFFFFFF)


def stream_key(seed, purpose):
    """FNV-1a over the text, mixed with the seed by SplitMix64."""
    value = 0xCBF29CE484222325
    for byte in purpose.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    value = (value + (seed + 1) * 0x9E3779B97F4A7C15) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return value ^ (value >> 31)


def first_words(seed, purpose, count):
    """Word 0 for counters 0 .. count - 1."""
    key = stream_key(seed, purpose)
    k0, k1 = np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32)
    c0 = np.arange(count, dtype=np.uint64)
    c1, c2, c3 = (np.zeros(count, dtype=np.uint64) for _ in range(3))
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> np.uint64(32)) ^ c1 ^ k0, p1 & MASK32, (p0 >> np.uint64(32)) ^ c3 ^ k1, p0 & MASK32
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & MASK32, (k1 + np.uint64(0xBB67AE85)) & MASK32
    return c0


def random_tensor(seed, name, shape):
    """fp32, uniform around 1 (norms) or 0, by the name in the folder."""
    count = int(np.prod(shape))
    symmetric = (first_words(seed, "parity " + name, count) >> np.uint64(8)).astype(np.float64) * 2.0**-23 - 1.0
    if name.endswith("norm.weight"):
        values = 1.0 + 0.5 * symmetric
    elif name.endswith(".bias"):
        values = 0.5 * symmetric
    elif name.endswith("embed_tokens.weight"):
        values = 0.5 * symmetric
    else:
        values = np.sqrt(3.0 / shape[-1]) * symmetric
    return values.astype(np.float32).reshape(shape)


def random_tokens(seed, what, count, vocabulary):
    return (first_words(seed, "parity " + what, count) % np.uint64(vocabulary)).astype(np.int64)
