#pragma once

#include <math.h>
#include <string.h>

#include "CQuantizedEncoder.h"

/// One kind of processor's functions.
struct casa_steps {
  void (*quantize)(const float *values, size_t count, size_t width, const casa_rows *result);
  void (*product)(const casa_rows *rows, size_t count, const casa_matrix *matrix, int32_t *result);
  void (*linear)(
      const casa_rows *rows, size_t count, const casa_matrix *matrix, const float *residual, float *result);
  void (*activated_linear)(const casa_rows *rows, size_t count, const casa_matrix *matrix, float *result);
  void (*normalize)(
      float *values, size_t count, size_t width, const float *weight, const float *bias, float epsilon);
  void (*attend)(
      const float *projections, size_t count, size_t heads, size_t head_width, float *scratch, float *result);
};

/// The most rows that any kernel attends to at once.
#define GREATEST_ATTENTION_ROWS 8

extern const struct casa_steps casa_plain_steps;
#if defined(__x86_64__)
extern const struct casa_steps casa_avx2_steps;
extern const struct casa_steps casa_avx512vnni_steps;
#endif
