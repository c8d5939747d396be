/* gemm.c -- matrix products: OpenBLAS on one thread inside our own pieces.
 *
 * A result is cut into tiles, and the tiles go to the team. The cuts depend on the sizes alone: OpenBLAS gives other
 * bits for other cuts.
 */
#include <cblas.h>
#include <limits.h>
#include <string.h>

#include "kernels/gemm.h"

#ifdef NN_DOUBLE
#define blas_gemm cblas_dgemm
#else
#define blas_gemm cblas_sgemm
#endif

static const int64_t call_limit = 1000000000;  /* multiply-adds in one BLAS call, so that an interrupt is soon seen */

int nnk_run(nnk_outcome *o, int64_t count, int64_t grain, nn_chunk work, void *context) {
  atomic_init(&o->status, NN_OK);
  int status = nn_parallel_for(count, grain, work, context);
  if (status != NN_OK) return status;
  /* A piece's message stayed with its thread. */
  return nnk_going(o) ? NN_OK : nn_fail(atomic_load(&o->status), "out of memory for scratch");
}

/* Element (row, column) of the matrix that takes part. */
static const nn_real *at(nnk_matrix a, int64_t row, int64_t column) {
  return a.transposed ? a.data + column * a.ld + row : a.data + row * a.ld + column;
}

void nnk_gemm_serial(nn_real *c, int64_t ldc, nnk_matrix a, nnk_matrix b, int64_t m, int64_t n, int64_t k, bool add) {
  if (k == 0) {  /* BLAS wants every ld to be at least 1 */
    for (int64_t i = 0; i < m && !add; i++) memset(c + i * ldc, 0, (size_t)n * sizeof *c);
    return;
  }
  int64_t rows = nnk_max(1, call_limit / (n * k));
  for (int64_t i = 0; i < m; i += rows) {
    if (i > 0 && nn_interrupted()) return;
    blas_gemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans,
              (int)nnk_min(rows, m - i), (int)n, (int)k, 1, at(a, i, 0), (int)a.ld, b.data, (int)b.ld, add ? 1 : 0,
              c + i * ldc, (int)ldc);
  }
}

typedef struct {
  const nnk_gemm_many *g;
  int64_t tile_m, tile_n, tiles_m, tiles_n;
} tiling;

static void do_tiles(void *context, int64_t begin, int64_t end) {
  const tiling *t = context;
  const nnk_gemm_many *g = t->g;
  for (int64_t job = begin; job < end; job++) {
    int64_t place = job / (t->tiles_m * t->tiles_n), tile = job % (t->tiles_m * t->tiles_n);
    int64_t i = tile / t->tiles_n * t->tile_m, j = tile % t->tiles_n * t->tile_n;
    nn_real *c = g->c + place * g->c_stride + i * g->ldc + j;
    for (int64_t term = g->first[place]; term < g->first[place + 1]; term++) {
      nnk_matrix a = g->a, b = g->b;
      a.data = at(a, i, 0) + g->a_place[term] * g->a_stride;
      b.data = at(b, 0, j) + g->b_place[term] * g->b_stride;
      nnk_gemm_serial(c, g->ldc, a, b, nnk_min(t->tile_m, g->m - i), nnk_min(t->tile_n, g->n - j), g->k,
                      g->add || term > g->first[place]);
    }
  }
}

int nnk_gemm_batched(const nnk_gemm_many *g) {
  if (g->m <= 0 || g->n <= 0 || g->count <= 0) return NN_OK;
  if (g->m > INT_MAX || g->n > INT_MAX || g->k > INT_MAX)
    return nn_fail(NN_ESHAPE, "matrix sizes of at most 2^31 - 1 expected, got %lldx%lldx%lld", (long long)g->m,
                   (long long)g->n, (long long)g->k);
  tiling t = { .g = g, .tile_m = nnk_min(g->m, 256), .tile_n = nnk_min(g->n, 512) };
  for (;;) {
    t.tiles_m = nnk_divide_up(g->m, t.tile_m);
    t.tiles_n = nnk_divide_up(g->n, t.tile_n);
    bool enough = g->count * t.tiles_m * t.tiles_n >= 8 || t.tile_m * t.tile_n * g->k < 500000;
    if (enough || (t.tile_m <= 32 && t.tile_n <= 32)) break;
    int64_t *larger = t.tile_m > t.tile_n ? &t.tile_m : &t.tile_n;
    *larger = nnk_divide_up(*larger, 2);
  }
  int64_t work = t.tile_m * t.tile_n * nnk_max(1, g->k);
  return nn_parallel_for(g->count * t.tiles_m * t.tiles_n, nnk_max(1, 250000 / work), do_tiles, &t);
}

int nnk_gemm(nn_real *c, int64_t ldc, nnk_matrix a, nnk_matrix b, int64_t m, int64_t n, int64_t k, bool add) {
  static const int64_t first[] = { 0, 1 };
  nnk_gemm_many g = { .c = c, .ldc = ldc, .a = a, .b = b, .m = m, .n = n, .k = k, .count = 1, .add = add,
                      .first = first, .a_place = first, .b_place = first };
  return nnk_gemm_batched(&g);
}

typedef struct {
  nn_real *out;
  const nn_real *row;
  int64_t width;
} filling;

static void fill_rows(void *context, int64_t begin, int64_t end) {
  const filling *f = context;
  for (int64_t r = begin; r < end; r++) memcpy(f->out + r * f->width, f->row, (size_t)f->width * sizeof(nn_real));
}

int nnk_fill_rows(nn_real *out, const nn_real *row, int64_t rows, int64_t width) {
  filling f = { out, row, width };
  return nn_parallel_for(rows, nnk_max(1, 65536 / nnk_max(1, width)), fill_rows, &f);
}
