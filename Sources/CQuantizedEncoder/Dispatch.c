#include "Kernel.h"

bool casa_kernel_is_available(casa_kernel kernel) {
  switch (kernel) {
  case CASA_KERNEL_PLAIN: return true;
#if defined(__x86_64__)
  case CASA_KERNEL_AVX2: return __builtin_cpu_supports("avx2");
  case CASA_KERNEL_AVX512VNNI:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512vnni");
#endif
  default: return false;
  }
}

static const struct casa_steps *steps_of(casa_kernel kernel) {
  switch (kernel) {
#if defined(__x86_64__)
  case CASA_KERNEL_AVX2: return &casa_avx2_steps;
  case CASA_KERNEL_AVX512VNNI: return &casa_avx512vnni_steps;
#endif
  default: return &casa_plain_steps;
  }
}

void casa_quantize(
    casa_kernel kernel, const float *values, size_t count, size_t width, const casa_rows *result) {
  steps_of(kernel)->quantize(values, count, width, result);
}

void casa_product(
    casa_kernel kernel, const casa_rows *rows, size_t count, const casa_matrix *matrix, int32_t *result) {
  steps_of(kernel)->product(rows, count, matrix, result);
}

void casa_linear(
    casa_kernel kernel, const casa_rows *rows, size_t count, const casa_matrix *matrix, const float *residual,
    float *result) {
  steps_of(kernel)->linear(rows, count, matrix, residual, result);
}

void casa_activated_linear(
    casa_kernel kernel, const casa_rows *rows, size_t count, const casa_matrix *matrix, float *result) {
  steps_of(kernel)->activated_linear(rows, count, matrix, result);
}

void casa_normalize(
    casa_kernel kernel, float *values, size_t count, size_t width, const float *weight, const float *bias,
    float epsilon) {
  steps_of(kernel)->normalize(values, count, width, weight, bias, epsilon);
}

size_t casa_attention_scratch(size_t count, size_t head_width) {
  // Rows filled up to whole strips; keys, values, and the scores and sums of the rows at hand.
  const size_t width = (count + 31) / 32 * 32;
  const size_t value_width = (head_width + 31) / 32 * 32;
  return head_width * width + count * value_width + GREATEST_ATTENTION_ROWS * (width + value_width);
}

void casa_attend(
    casa_kernel kernel, const float *projections, size_t count, size_t heads, size_t head_width, float *scratch,
    float *result) {
  steps_of(kernel)->attend(projections, count, heads, head_width, scratch, result);
}
