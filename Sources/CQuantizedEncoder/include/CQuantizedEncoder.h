// What a BERT model of 8-bit weights computes, for the processors there are: the same text compiled for each of them,
// but for the products of integers, which use each one's instructions.
//
// All of them give the same numbers, bit for bit: sums of integers are exact, and floating point numbers are added in
// the same order without joining a product and a sum. Matrices are in row-major order; nothing here allocates memory.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// For which processors.
typedef uint32_t casa_kernel;
/// Any.
#define CASA_KERNEL_PLAIN ((casa_kernel)0)
/// x86-64 with AVX2.
#define CASA_KERNEL_AVX2 ((casa_kernel)1)
/// x86-64 with AVX-512 and its instructions for neural networks.
#define CASA_KERNEL_AVX512VNNI ((casa_kernel)2)

/// Whether this processor can run it, and the system lets it.
bool casa_kernel_is_available(casa_kernel kernel);

/// Outputs lie in panels of so many, each of which has for every four inputs in turn the four weights of each output.
#define CASA_PANEL_OUTPUTS ((size_t)64)
#define CASA_GROUP_INPUTS ((size_t)4)

/// Inputs lie in blocks of so many, the last of which may be shorter. Each has a scale of its own, so that one great
/// number makes only those next to it less exact.
#define CASA_BLOCK_INPUTS ((size_t)128)

/// A matrix of integers from -127 to 127.
typedef struct casa_matrix {
  size_t inputs;
  size_t outputs;
  /// In panels, filled up by zeros.
  const int8_t *_Nonnull weights;
  /// Of the weights, for each panel and block one of each output.
  const int32_t *_Nonnull sums;
  /// What the weights are to be multiplied by, likewise.
  const float *_Nonnull scales;
  const float *_Nonnull bias;
} casa_matrix;

/// Rows of numbers x as integers u from 0 to 255, with x = scale * (u - zero).
typedef struct casa_rows {
  /// Those of one row are so many bytes after those of the row before: at least its inputs, filled up to whole groups.
  size_t stride;
  uint8_t *_Nonnull integers;
  /// For each row one of each block.
  float *_Nonnull scales;
  int32_t *_Nonnull zeros;
} casa_rows;

/// For each block a scale of its own, by which its least and its greatest number are 0 and 255.
void casa_quantize(
    casa_kernel kernel, const float *_Nonnull values, size_t count, size_t width, const casa_rows *_Nonnull result);

/// The sums of the integers' products alone, for each row as many as the panels have outputs. Inputs up to 65536 can't overflow them.
void casa_product(
    casa_kernel kernel, const casa_rows *_Nonnull rows, size_t count, const casa_matrix *_Nonnull matrix,
    int32_t *_Nonnull result);

/// rows * matrix + bias + residual
void casa_linear(
    casa_kernel kernel, const casa_rows *_Nonnull rows, size_t count, const casa_matrix *_Nonnull matrix,
    const float *_Nullable residual, float *_Nonnull result);

/// GELU(rows * matrix + bias)
void casa_activated_linear(
    casa_kernel kernel, const casa_rows *_Nonnull rows, size_t count, const casa_matrix *_Nonnull matrix,
    float *_Nonnull result);

/// Shifts and scales each row to mean 0 and variance 1, and then by the factors.
void casa_normalize(
    casa_kernel kernel, float *_Nonnull values, size_t count, size_t width, const float *_Nonnull weight,
    const float *_Nonnull bias, float epsilon);

/// How many numbers attention needs room for, of a text of so many tokens.
size_t casa_attention_scratch(size_t count, size_t head_width);

/// The attention of one text of `count` tokens.
/// - `projections`: each token's query, key and value, each of `heads * head_width` numbers
/// - `result`: `heads * head_width` numbers a token
void casa_attend(
    casa_kernel kernel, const float *_Nonnull projections, size_t count, size_t heads, size_t head_width,
    float *_Nonnull scratch, float *_Nonnull result);
