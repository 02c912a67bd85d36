#include "Kernel.h"

#define STEPS_NAME casa_plain_steps
#define TILE_ROWS 4
#define ATTENTION_ROWS 2

static inline __attribute__((always_inline)) void multiply_tile(
    size_t rows, const uint8_t *integers, size_t stride, const int8_t *panel, size_t groups, int32_t *sums) {
  for (size_t row = 0; row < rows; row++) {
    int32_t *to = sums + row * CASA_PANEL_OUTPUTS;
    memset(to, 0, CASA_PANEL_OUTPUTS * sizeof *to);
    for (size_t group = 0; group < groups; group++) {
      const uint8_t *inputs = integers + row * stride + group * CASA_GROUP_INPUTS;
      const int8_t *weights = panel + group * CASA_GROUP_INPUTS * CASA_PANEL_OUTPUTS;
      for (size_t output = 0; output < CASA_PANEL_OUTPUTS; output++, weights += CASA_GROUP_INPUTS) {
        to[output] += inputs[0] * weights[0] + inputs[1] * weights[1] + inputs[2] * weights[2]
                      + inputs[3] * weights[3];
      }
    }
  }
}

#include "Steps.h"
