#include "Kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)

#define STEPS_NAME casa_avx512vnni_steps
#define TILE_ROWS 6
#define ATTENTION_ROWS 8

// Six rows by four registers of outputs: their sums take 24 of the 32 registers.
static inline __attribute__((always_inline)) void multiply_tile(
    size_t rows, const uint8_t *integers, size_t stride, const int8_t *panel, size_t groups, int32_t *sums) {
  __m512i results[TILE_ROWS][4];
  for (size_t row = 0; row < rows; row++) {
    for (int part = 0; part < 4; part++) results[row][part] = _mm512_setzero_si512();
  }
  for (size_t group = 0; group < groups; group++) {
    __m512i weights[4];
    for (int part = 0; part < 4; part++) weights[part] = _mm512_loadu_si512(panel + group * 256 + part * 64);
    for (size_t row = 0; row < rows; row++) {
      int32_t four;
      memcpy(&four, integers + row * stride + group * CASA_GROUP_INPUTS, sizeof four);
      const __m512i inputs = _mm512_set1_epi32(four);
      for (int part = 0; part < 4; part++) {
        results[row][part] = _mm512_dpbusd_epi32(results[row][part], inputs, weights[part]);
      }
    }
  }
  for (size_t row = 0; row < rows; row++) {
    for (int part = 0; part < 4; part++) {
      _mm512_storeu_si512(sums + row * CASA_PANEL_OUTPUTS + part * 16, results[row][part]);
    }
  }
}

#include "Steps.h"

#pragma clang attribute pop
#endif
