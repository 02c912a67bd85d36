#include "Kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

#define STEPS_NAME casa_avx2_steps
#define TILE_ROWS 4
#define ATTENTION_ROWS 2

// There is an instruction for pairs of products of an unsigned and a signed byte, whose sum has only 16 bits. With the
// magnitude of u - 128, at most 128, and the weight with that one's sign, at most 127, a pair fits.
static inline __attribute__((always_inline)) void multiply_tile(
    size_t rows, const uint8_t *integers, size_t stride, const int8_t *panel, size_t groups, int32_t *sums) {
  const __m256i top = _mm256_set1_epi8((char)0x80);
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i all_ones = _mm256_set1_epi8(1);
  for (size_t output = 0; output < CASA_PANEL_OUTPUTS; output += 16) {
    __m256i left[TILE_ROWS], right[TILE_ROWS];
    for (size_t row = 0; row < rows; row++) left[row] = right[row] = _mm256_setzero_si256();
    // What 128 times the weights come to.
    __m256i left_weights = _mm256_setzero_si256(), right_weights = _mm256_setzero_si256();
    const int8_t *weights = panel + output * CASA_GROUP_INPUTS;
    for (size_t group = 0; group < groups; group++) {
      const __m256i a = _mm256_loadu_si256((const __m256i *)weights);
      const __m256i b = _mm256_loadu_si256((const __m256i *)(weights + 32));
      weights += CASA_PANEL_OUTPUTS * CASA_GROUP_INPUTS;
      left_weights = _mm256_add_epi32(left_weights, _mm256_madd_epi16(_mm256_maddubs_epi16(all_ones, a), ones));
      right_weights = _mm256_add_epi32(right_weights, _mm256_madd_epi16(_mm256_maddubs_epi16(all_ones, b), ones));
      for (size_t row = 0; row < rows; row++) {
        int32_t four;
        memcpy(&four, integers + row * stride + group * CASA_GROUP_INPUTS, sizeof four);
        const __m256i inputs = _mm256_xor_si256(_mm256_set1_epi32(four), top);
        const __m256i magnitudes = _mm256_abs_epi8(inputs);
        const __m256i a_pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(a, inputs));
        const __m256i b_pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(b, inputs));
        left[row] = _mm256_add_epi32(left[row], _mm256_madd_epi16(a_pairs, ones));
        right[row] = _mm256_add_epi32(right[row], _mm256_madd_epi16(b_pairs, ones));
      }
    }
    left_weights = _mm256_slli_epi32(left_weights, 7);
    right_weights = _mm256_slli_epi32(right_weights, 7);
    for (size_t row = 0; row < rows; row++) {
      __m256i *to = (__m256i *)(sums + row * CASA_PANEL_OUTPUTS + output);
      _mm256_storeu_si256(to, _mm256_add_epi32(left[row], left_weights));
      _mm256_storeu_si256(to + 1, _mm256_add_epi32(right[row], right_weights));
    }
  }
}

#include "Steps.h"

#pragma clang attribute pop
#endif
