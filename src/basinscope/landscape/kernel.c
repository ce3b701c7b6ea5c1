/* Logits of one fully connected ReLU network at many parameter vectors.
 *
 * Each point, center + step · direction, is written to a small buffer and evaluated through all layers while it is in
 * the first-level cache; samples are the lanes of vector registers. Each output is a chain of fused multiply-adds in
 * fixed order, so results are bit-identical for any number of threads or points.
 *
 * REAL is float or double. The caller pads sample blocks to whole registers.
 */
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__AVX512F__)
#define REGISTER_BYTES 64
#elif defined(__AVX__)
#define REGISTER_BYTES 32
#else
#define REGISTER_BYTES 16
#endif

/* A tile of TILE_ROWS outputs × TILE_COLUMNS registers of samples stays in registers during the loop over inputs:
 * 24 of 32 registers, or 12 of 16 on x86 without AVX-512. */
enum { TILE_ROWS = 6 };
#if defined(__x86_64__) && !defined(__AVX512F__)
enum { TILE_COLUMNS = 2 };
#define TILES(r) TILE(r, 1) TILE(r, 2)
#else
enum { TILE_COLUMNS = 4 };
#define TILES(r) TILE(r, 1) TILE(r, 2) TILE(r, 3) TILE(r, 4)
#endif

typedef REAL reg __attribute__((vector_size(REGISTER_BYTES)));
enum { LANES = REGISTER_BYTES / sizeof(REAL) };

int64_t lanes(void) { return LANES; }

/* rows and columns are literals at every call, so that the loops are unrolled and the tile stays in registers. */
static inline __attribute__((always_inline)) void tile(int rows, int columns, int64_t fan_in, const REAL *weight,
                                                       const REAL *bias, const reg *in, reg *out, int64_t stride,
                                                       int rectify) {
    reg sum[TILE_ROWS][TILE_COLUMNS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) sum[r][c] = (reg){0} + bias[r];
    for (int64_t k = 0; k < fan_in; k++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) sum[r][c] += weight[r * fan_in + k] * in[k * stride + c];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            reg z = sum[r][c];
            /* Clears all bits if z < 0; NaN compares false and is propagated. */
            out[r * stride + c] = rectify ? (reg)(~(z < 0) & (__typeof__(z < 0))z) : z;
        }
}

#define TILE(r, c) \
    case 8 * (r) + (c): tile(r, c, fan_in, weight, bias, in, out, stride, rectify); break;

static void any_tile(int64_t rows, int64_t columns, int64_t fan_in, const REAL *weight, const REAL *bias,
                     const reg *in, reg *out, int64_t stride, int rectify) {
    switch (8 * rows + columns) { TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) }
}

/* One layer: splits outputs and samples into tiles of nearly equal size. */
static void layer(int64_t fan_in, int64_t fan_out, const REAL *weight, const REAL *bias, const reg *in, reg *out,
                  int64_t registers, int rectify) {
    int64_t down = (fan_out + TILE_ROWS - 1) / TILE_ROWS, across = (registers + TILE_COLUMNS - 1) / TILE_COLUMNS;
    for (int64_t j = 0; j < across; j++) {
        int64_t column = registers * j / across, columns = registers * (j + 1) / across - column;
        for (int64_t i = 0; i < down; i++) {
            int64_t row = fan_out * i / down, rows = fan_out * (i + 1) / down - row;
            any_tile(rows, columns, fan_in, weight + row * fan_in, bias + row, in + column,
                     out + row * registers + column, registers, rectify);
        }
    }
}

/* Evaluates one point. `scratch` holds two blocks of `widest` units, then the parameters. `second` is NULL along rays. */
static void one(const REAL *center, const REAL *direction, REAL step, const REAL *second, REAL second_step,
                int64_t num_parameters, const int64_t *widths, int64_t num_layers, int64_t widest, const reg *inputs,
                int64_t registers, reg *scratch, reg *logits) {
    reg *block[2] = {scratch, scratch + widest * registers};
    REAL *point = (REAL *)(scratch + 2 * widest * registers);
    for (int64_t k = 0; k < num_parameters; k++) point[k] = center[k] + step * direction[k];
    if (second)
        for (int64_t k = 0; k < num_parameters; k++) point[k] += second_step * second[k];
    const reg *in = inputs;
    const REAL *weight = point;
    for (int64_t l = 0; l < num_layers; l++) {
        int64_t fan_in = widths[l], fan_out = widths[l + 1];
        int last = l == num_layers - 1;
        const REAL *bias = weight + fan_in * fan_out;
        reg *out = last ? logits : block[l % 2];
        layer(fan_in, fan_out, weight, bias, in, out, registers, !last);
        weight = bias + fan_out;
        in = out;
    }
}

/* On a plane, `second` is a second direction and `second_steps` has one step per point; along rays both are NULL.
 * inputs: widths[0] × (registers · LANES); logits: num × widths[last] × (registers · LANES);
 * scratch: threads × scratch_registers registers. All three are aligned to registers. */
void mlp_logits(const REAL *center, const REAL *directions, const int64_t *rows, const REAL *steps,
                const REAL *second, const REAL *second_steps, int64_t num, int64_t num_parameters,
                const int64_t *widths, int64_t num_layers, int64_t widest, const reg *inputs, int64_t registers,
                reg *scratch, int64_t scratch_registers, int64_t threads, reg *logits) {
    int64_t size = widths[num_layers] * registers;
    (void)threads;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
    for (int64_t i = 0; i < num; i++) {
#ifdef _OPENMP
        reg *own = scratch + omp_get_thread_num() * scratch_registers;
#else
        reg *own = scratch;
#endif
        one(center, directions + rows[i] * num_parameters, steps[i], second, second ? second_steps[i] : 0,
            num_parameters, widths, num_layers, widest, inputs, registers, own, logits + i * size);
    }
}
