/* SHA-256 (FIPS 180-4), a byte at a time. */
#ifndef CASA_SHA256_H
#define CASA_SHA256_H

#include "maps.h"

static const __u32 sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

static __always_inline void sha256_begin(struct http_reading *token) {
  token->hash[0] = 0x6a09e667;
  token->hash[1] = 0xbb67ae85;
  token->hash[2] = 0x3c6ef372;
  token->hash[3] = 0xa54ff53a;
  token->hash[4] = 0x510e527f;
  token->hash[5] = 0x9b05688c;
  token->hash[6] = 0x1f83d9ab;
  token->hash[7] = 0x5be0cd19;
  token->token_bytes = 0;
}

/* Takes the block of the token in this scratch into its hash; the block is overwritten. */
__noinline int sha256_block(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 0;
  struct http_reading *token = &scratch->http;
  /* In the block itself, and read from there each time: the compiler would keep all sixteen on the stack. */
  volatile __u32 *w = (volatile __u32 *)token->block;
  __u32 a = token->hash[0], b = token->hash[1], c = token->hash[2], d = token->hash[3];
  __u32 e = token->hash[4], f = token->hash[5], g = token->hash[6], h = token->hash[7];
#pragma clang loop unroll(disable)
  for (__u32 round = 0; round < 64; round += 16) {
#pragma unroll
    for (int i = 0; i < 16; i++) {
      __u32 word;
      if (round == 0) {
        word = bpf_ntohl(w[i]);
      } else {
        __u32 x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        word = w[i] + (ROTATE(x, 7) ^ ROTATE(x, 18) ^ x >> 3) + w[(i + 9) & 15] +
               (ROTATE(y, 17) ^ ROTATE(y, 19) ^ y >> 10);
      }
      w[i] = word;
    }
#pragma unroll
    for (int i = 0; i < 16; i++) {
      __u32 t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & f) ^ (~e & g)) +
                 sha256_constants[round + i] + w[i];
      __u32 t2 = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
  }
  token->hash[0] += a;
  token->hash[1] += b;
  token->hash[2] += c;
  token->hash[3] += d;
  token->hash[4] += e;
  token->hash[5] += f;
  token->hash[6] += g;
  token->hash[7] += h;
  return 0;
}

static __always_inline void sha256_add(__u32 place, struct http_reading *token, __u8 byte) {
  token->block[token->token_bytes & 63] = byte;
  token->token_bytes += 1;
  if ((token->token_bytes & 63) == 0) sha256_block(place);
}

/* Pads the last block and leaves the digest in `token->hash`, its words in the machine's order. */
static __always_inline void sha256_end(__u32 place, struct http_reading *token) {
  __u32 bytes = token->token_bytes, used = bytes & 63;
  token->block[used & 63] = 0x80;
  /* Without a branch, each of which the verifier would follow through every turn: the mask is zero behind `used`. */
  for (__u32 i = 0; i < 64; i++) token->block[i] &= (__u8)((__s32)opaque(i - used - 1) >> 31);
  if (used >= 56) {
    sha256_block(place);
    __builtin_memset(token->block, 0, sizeof(token->block));
  }
  *(__u32 *)&token->block[60] = bpf_htonl(bytes << 3);
  sha256_block(place);
}

#endif
