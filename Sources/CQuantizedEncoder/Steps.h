// The steps of a layer, to be compiled for one kind of processor by whoever includes this. It has said before what
// STEPS_NAME is, the table's name, and how `multiply_tile` multiplies integers by at most TILE_ROWS rows at once.

#pragma STDC FP_CONTRACT OFF
// How registers are passed makes no difference where every call is inlined.
#pragma clang diagnostic ignored "-Wpsabi"

#define LANES 16
typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef int32_t int_lanes __attribute__((ext_vector_type(LANES)));
typedef uint32_t bit_lanes __attribute__((ext_vector_type(LANES)));
typedef uint8_t byte_lanes __attribute__((ext_vector_type(LANES)));

#define INLINE static inline __attribute__((always_inline))

INLINE lanes load(const float *from) {
  lanes values;
  memcpy(&values, from, sizeof values);
  return values;
}

INLINE void store(lanes values, float *to) { memcpy(to, &values, sizeof values); }

INLINE lanes at_least(lanes values, lanes bound) { return values < bound ? bound : values; }

INLINE lanes at_most(lanes values, lanes bound) { return values > bound ? bound : values; }

// In one order, whatever the processor.
INLINE float sum(lanes values) {
  const __typeof__(values.lo) eight = values.lo + values.hi;
  const __typeof__(eight.lo) four = eight.lo + eight.hi;
  return (four.x + four.z) + (four.y + four.w);
}

INLINE float greatest(lanes values) {
  const __typeof__(values.lo) eight = values.lo < values.hi ? values.hi : values.lo;
  const __typeof__(eight.lo) four = eight.lo < eight.hi ? eight.hi : eight.lo;
  const __typeof__(four.lo) two = four.lo < four.hi ? four.hi : four.lo;
  return two.x < two.y ? two.y : two.x;
}

INLINE float least(lanes values) { return -greatest(-values); }

// Added to a number of small magnitude it leaves that number rounded to a whole one in the last bits.
#define ROUNDING 12582912.0f

INLINE int_lanes rounded(lanes values) {
  const lanes shifted = values + ROUNDING;
  bit_lanes bits;
  memcpy(&bits, &shifted, sizeof bits);
  return (int_lanes)(bits - 0x4B400000);
}

// e to the power of each, correct to about 2 units in the last place, as VectorMath.swift has it.
INLINE lanes exponential(lanes values) {
  const lanes x = at_most(at_least(values, -87.33f), 88.02f);
  const lanes shifted = x * 1.44269504f + ROUNDING;
  const lanes n = shifted - ROUNDING;
  const lanes r = x - n * 0.693359375f + n * 2.1219444e-4f;
  lanes series = r * (1.0f / 720) + (1.0f / 120);
  series = series * r + (1.0f / 24);
  series = series * r + (1.0f / 6);
  series = series * r + 0.5f;
  series = series * r + 1;
  series = series * r + 1;
  bit_lanes exponent;
  memcpy(&exponent, &shifted, sizeof exponent);
  exponent = (exponent << 23) + 0x3F800000;
  lanes power;
  memcpy(&power, &exponent, sizeof power);
  return series * power;
}

// x * Phi(x) with the rational function of Activation.swift.
INLINE lanes gelu(lanes x) {
  const lanes c = at_most(at_least(x, -5.2f), 5.2f);
  const lanes u = c * c;
  lanes p = u * 2.4731182e-8f + 6.4078808e-6f;
  p = p * u + 1.5686068e-4f;
  p = p * u + 4.6086395e-3f;
  p = p * u + 3.2544468e-2f;
  p = p * u + 0.39894226f;
  lanes q = u * 1.2588694e-6f + 7.049580e-5f;
  q = q * u + 1.8171974e-3f;
  q = q * u + 2.7926639e-2f;
  q = q * u + 0.24824323f;
  q = q * u + 1;
  return x * (0.5f + c * p / q);
}

#define BLOCK_LANES (CASA_BLOCK_INPUTS / LANES)

INLINE int_lanes within_a_byte(int_lanes values) {
  values = values < 0 ? 0 : values;
  return values > 255 ? 255 : values;
}

// The first `count` numbers of one block, or all of a whole one: a number that is known where this is compiled.
INLINE void quantize_block(const float *values, size_t count, uint8_t *integers, float *scale, int32_t *zero) {
  const size_t parts = (count + LANES - 1) / LANES;
  lanes parts_of_values[BLOCK_LANES];
  lanes low = 0, high = 0;
  for (size_t part = 0; part < parts; part++) {
    lanes numbers = 0;
    if (count - part * LANES >= LANES) {
      numbers = load(values + part * LANES);
    } else {
      for (size_t index = part * LANES; index < count; index++) numbers[index % LANES] = values[index];
    }
    low = at_most(low, numbers);
    high = at_least(high, numbers);
    parts_of_values[part] = numbers;
  }
  const float bottom = least(low);
  const float range = greatest(high) - bottom;
  // Of what is no number, or too small to be divided by, comes something; but never a fault.
  const float factor = range > 1e-30f ? 255 / range : 0;
  const int_lanes zeros = within_a_byte(rounded((lanes)(-bottom * factor)));
  for (size_t part = 0; part < parts; part++) {
    const bit_lanes shifted = (bit_lanes)rounded(parts_of_values[part] * factor) + (bit_lanes)zeros;
    const byte_lanes bytes = __builtin_convertvector(within_a_byte((int_lanes)shifted), byte_lanes);
    const size_t left = (count - part * LANES + CASA_GROUP_INPUTS - 1) / CASA_GROUP_INPUTS * CASA_GROUP_INPUTS;
    if (left >= LANES) {
      memcpy(integers + part * LANES, &bytes, LANES);
    } else {
      memcpy(integers + part * LANES, &bytes, left);
    }
  }
  *scale = range / 255;
  *zero = zeros[0];
}

static void quantize(const float *values, size_t count, size_t width, const casa_rows *result) {
  float *scale = result->scales;
  int32_t *zero = result->zeros;
  for (size_t row = 0; row < count; row++) {
    const float *from = values + row * width;
    uint8_t *to = result->integers + row * result->stride;
    size_t index = 0;
    for (; index + CASA_BLOCK_INPUTS <= width; index += CASA_BLOCK_INPUTS) {
      quantize_block(from + index, CASA_BLOCK_INPUTS, to + index, scale++, zero++);
    }
    if (index < width) quantize_block(from + index, width - index, to + index, scale++, zero++);
  }
}

// Multiplies `rows` rows by one block of one panel.
INLINE void multiply(
    size_t rows, const casa_rows *input, size_t row, const casa_matrix *matrix, size_t panel, size_t block,
    int32_t *sums) {
  const size_t groups = (matrix->inputs + CASA_GROUP_INPUTS - 1) / CASA_GROUP_INPUTS;
  const size_t first = block * (CASA_BLOCK_INPUTS / CASA_GROUP_INPUTS);
  const size_t left = groups - first;
  const size_t count = left < CASA_BLOCK_INPUTS / CASA_GROUP_INPUTS ? left : CASA_BLOCK_INPUTS / CASA_GROUP_INPUTS;
  const uint8_t *integers = input->integers + row * input->stride + first * CASA_GROUP_INPUTS;
  const int8_t *weights = matrix->weights + (panel * groups + first) * CASA_GROUP_INPUTS * CASA_PANEL_OUTPUTS;
  // Compiled for each number of rows.
  switch (rows) {
  case 1: multiply_tile(1, integers, input->stride, weights, count, sums); break;
  case 2: multiply_tile(2, integers, input->stride, weights, count, sums); break;
  case 3: multiply_tile(3, integers, input->stride, weights, count, sums); break;
#if TILE_ROWS > 4
  case 5: multiply_tile(5, integers, input->stride, weights, count, sums); break;
  case 6: multiply_tile(6, integers, input->stride, weights, count, sums); break;
#endif
  default: multiply_tile(4, integers, input->stride, weights, count, sums);
  }
}

#define PANELS(matrix) (((matrix)->outputs + CASA_PANEL_OUTPUTS - 1) / CASA_PANEL_OUTPUTS)
#define BLOCKS(matrix) (((matrix)->inputs + CASA_BLOCK_INPUTS - 1) / CASA_BLOCK_INPUTS)

static void product(const casa_rows *rows, size_t count, const casa_matrix *matrix, int32_t *result) {
  const size_t stride = PANELS(matrix) * CASA_PANEL_OUTPUTS;
  int32_t sums[TILE_ROWS * CASA_PANEL_OUTPUTS] __attribute__((aligned(64)));
  memset(result, 0, count * stride * sizeof *result);
  for (size_t panel = 0; panel < PANELS(matrix); panel++) {
    for (size_t row = 0; row < count;) {
      const size_t taken = count - row < TILE_ROWS ? count - row : TILE_ROWS;
      for (size_t block = 0; block < BLOCKS(matrix); block++) {
        multiply(taken, rows, row, matrix, panel, block, sums);
        for (size_t index = 0; index < taken * CASA_PANEL_OUTPUTS; index++) {
          result[(row + index / CASA_PANEL_OUTPUTS) * stride + panel * CASA_PANEL_OUTPUTS + index % CASA_PANEL_OUTPUTS]
              += sums[index];
        }
      }
      row += taken;
    }
  }
}

INLINE void multiply_and_scale(
    const casa_rows *rows, size_t count, const casa_matrix *matrix, bool is_activated, const float *residual,
    float *result) {
  const size_t blocks = BLOCKS(matrix);
  const size_t tiles = (count + TILE_ROWS - 1) / TILE_ROWS;
  int32_t sums[TILE_ROWS * CASA_PANEL_OUTPUTS] __attribute__((aligned(64)));
  float totals[TILE_ROWS * CASA_PANEL_OUTPUTS] __attribute__((aligned(64)));
  for (size_t panel = 0; panel < PANELS(matrix); panel++) {
    const size_t column = panel * CASA_PANEL_OUTPUTS;
    const size_t left = matrix->outputs - column;
    const size_t columns = left < CASA_PANEL_OUTPUTS ? left : CASA_PANEL_OUTPUTS;
    size_t row = 0;
    for (size_t tile = 0; tile < tiles; tile++) {
      // Tiles of much the same height: one of a single row would take as long as one of several.
      const size_t taken = (count - row + tiles - tile - 1) / (tiles - tile);
      for (size_t index = 0; index < taken; index++) {
        memcpy(totals + index * CASA_PANEL_OUTPUTS, matrix->bias + column, CASA_PANEL_OUTPUTS * sizeof *totals);
      }
      for (size_t block = 0; block < blocks; block++) {
        multiply(taken, rows, row, matrix, panel, block, sums);
        const size_t place = (panel * blocks + block) * CASA_PANEL_OUTPUTS;
        for (size_t lane = 0; lane < CASA_PANEL_OUTPUTS; lane += LANES) {
          int_lanes weights;
          memcpy(&weights, matrix->sums + place + lane, sizeof weights);
          const lanes scales = load(matrix->scales + place + lane);
          for (size_t index = 0; index < taken; index++) {
            int_lanes exact;
            memcpy(&exact, sums + index * CASA_PANEL_OUTPUTS + lane, sizeof exact);
            exact -= weights * rows->zeros[(row + index) * blocks + block];
            float *total = totals + index * CASA_PANEL_OUTPUTS + lane;
            const lanes scale = scales * rows->scales[(row + index) * blocks + block];
            store(load(total) + __builtin_convertvector(exact, lanes) * scale, total);
          }
        }
      }
      for (size_t index = 0; index < taken; index++) {
        const size_t place = (row + index) * matrix->outputs + column;
        for (size_t lane = 0; lane < columns; lane += LANES) {
          lanes values = load(totals + index * CASA_PANEL_OUTPUTS + lane);
          if (is_activated) values = gelu(values);
          if (columns - lane >= LANES) {
            if (residual) values += load(residual + place + lane);
            store(values, result + place + lane);
          } else {
            for (size_t rest = 0; rest < columns - lane; rest++) {
              result[place + lane + rest] = values[rest] + (residual ? residual[place + lane + rest] : 0);
            }
          }
        }
      }
      row += taken;
    }
  }
}

static void linear(
    const casa_rows *rows, size_t count, const casa_matrix *matrix, const float *residual, float *result) {
  multiply_and_scale(rows, count, matrix, false, residual, result);
}

static void activated_linear(const casa_rows *rows, size_t count, const casa_matrix *matrix, float *result) {
  multiply_and_scale(rows, count, matrix, true, NULL, result);
}

static void normalize(
    float *values, size_t count, size_t width, const float *weight, const float *bias, float epsilon) {
  const size_t whole = width - width % LANES;
  for (size_t row = 0; row < count; row++) {
    float *from = values + row * width;
    lanes parts = 0;
    for (size_t index = 0; index < whole; index += LANES) parts += load(from + index);
    float total = sum(parts);
    for (size_t index = whole; index < width; index++) total += from[index];
    const float mean = total / (float)width;

    parts = 0;
    for (size_t index = 0; index < whole; index += LANES) {
      const lanes difference = load(from + index) - mean;
      parts += difference * difference;
    }
    total = sum(parts);
    for (size_t index = whole; index < width; index++) total += (from[index] - mean) * (from[index] - mean);
    const float scale = 1 / sqrtf(total / (float)width + epsilon);

    for (size_t index = 0; index < whole; index += LANES) {
      store((load(from + index) - mean) * scale * load(weight + index) + load(bias + index), from + index);
    }
    for (size_t index = whole; index < width; index++) {
      from[index] = (from[index] - mean) * scale * weight[index] + bias[index];
    }
  }
}

// Matrices of floating point numbers lie in strips of so many columns, filled up by zeros, one row after another.
#define STRIP (2 * LANES)
#define IN_STRIPS(count) (((count) + STRIP - 1) / STRIP * STRIP)

// `result` = `a` * `b` for `rows` rows, a number that is known where this is compiled. `b` lies in strips.
INLINE void multiply_floats(
    size_t rows, const float *a, size_t a_stride, const float *b, size_t width, size_t depth, float *result) {
  for (size_t column = 0; column < width; column += STRIP) {
    lanes left[ATTENTION_ROWS], right[ATTENTION_ROWS];
    for (size_t row = 0; row < rows; row++) left[row] = right[row] = 0;
    for (size_t index = 0; index < depth; index++, b += STRIP) {
      const lanes b_left = load(b);
      const lanes b_right = load(b + LANES);
      for (size_t row = 0; row < rows; row++) {
        const lanes factor = a[row * a_stride + index];
        left[row] += factor * b_left;
        right[row] += factor * b_right;
      }
    }
    for (size_t row = 0; row < rows; row++) {
      store(left[row], result + row * width + column);
      store(right[row], result + row * width + column + LANES);
    }
  }
}

// Replaces numbers by their exponentials, and what is beyond `count` by zeros. Returns their sum.
INLINE float exponentiate(float *values, size_t count, size_t width, float scale) {
  const size_t whole = count - count % LANES;
  lanes most = values[0];
  for (size_t index = 0; index < whole; index += LANES) most = at_least(most, load(values + index));
  float largest = greatest(most);
  for (size_t index = whole; index < count; index++) largest = values[index] > largest ? values[index] : largest;
  lanes parts = 0;
  for (size_t index = 0; index < width; index += LANES) {
    lanes powers = exponential((load(values + index) - largest) * scale);
    if (index >= whole) {
      for (size_t lane = 0; lane < LANES; lane++) powers[lane] = index + lane < count ? powers[lane] : 0;
    }
    store(powers, values + index);
    parts += powers;
  }
  return sum(parts);
}

// Some rows of one head.
INLINE void attend_rows(
    size_t rows, const float *queries, size_t stride, const float *keys, const float *values, size_t count,
    size_t head_width, float *scores, float *sums, float *result, size_t result_stride) {
  const size_t width = IN_STRIPS(count);
  const size_t value_width = IN_STRIPS(head_width);
  multiply_floats(rows, queries, stride, keys, width, head_width, scores);
  float totals[ATTENTION_ROWS];
  const float scale = 1 / sqrtf((float)head_width);
  for (size_t row = 0; row < rows; row++) totals[row] = exponentiate(scores + row * width, count, width, scale);
  multiply_floats(rows, scores, width, values, value_width, count, sums);
  for (size_t row = 0; row < rows; row++) {
    const float factor = 1 / totals[row];
    for (size_t index = 0; index < head_width; index++) {
      result[row * result_stride + index] = sums[row * value_width + index] * factor;
    }
  }
}

static void attend(
    const float *projections, size_t count, size_t heads, size_t head_width, float *scratch, float *result) {
  const size_t hidden = heads * head_width;
  const size_t stride = 3 * hidden;
  const size_t width = IN_STRIPS(count);
  const size_t value_width = IN_STRIPS(head_width);
  float *keys = scratch;
  float *values = keys + head_width * width;
  float *scores = values + count * value_width;
  float *sums = scores + ATTENTION_ROWS * width;
  // What fills up the strips stays zero for all heads.
  memset(scratch, 0, (head_width * width + count * value_width) * sizeof *scratch);
  for (size_t head = 0; head < heads; head++) {
    const float *queries = projections + head * head_width;
    for (size_t token = 0; token < count; token++) {
      const float *key = queries + token * stride + hidden;
      const float *value = key + hidden;
      float *column = keys + token / STRIP * STRIP * head_width + token % STRIP;
      // One by one: instructions that scatter numbers are slower.
#pragma clang loop vectorize(disable)
      for (size_t index = 0; index < head_width; index++) column[index * STRIP] = key[index];
      for (size_t index = 0; index < head_width; index += STRIP) {
        const size_t left = head_width - index;
        memcpy(values + index * count + token * STRIP, value + index, (left < STRIP ? left : STRIP) * sizeof *value);
      }
    }
    float *to = result + head * head_width;
    if (count < ATTENTION_ROWS) {
      for (size_t row = 0; row < count; row++) {
        attend_rows(
            1, queries + row * stride, stride, keys, values, count, head_width, scores, sums, to + row * hidden,
            hidden);
      }
    }
    for (size_t next = 0; count >= ATTENTION_ROWS && next < count; next += ATTENTION_ROWS) {
      // The last rows may be some that were there before: that takes less time than fewer rows at once.
      const size_t row = next + ATTENTION_ROWS <= count ? next : count - ATTENTION_ROWS;
      attend_rows(
          ATTENTION_ROWS, queries + row * stride, stride, keys, values, count, head_width, scores, sums,
          to + row * hidden, hidden);
    }
  }
}

const struct casa_steps STEPS_NAME = {
    quantize, product, linear, activated_linear, normalize, attend,
};
