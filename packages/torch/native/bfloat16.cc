#include "bfloat16.h"

#ifdef ASVR_BFLOAT16
#include <immintrin.h>

#include <cstring>

namespace asvr {

namespace {

constexpr int64_t LANES = 8;
constexpr int64_t ROWS = 6;  // of the matrix read side by side: more streams are read faster, to a point

// A bfloat16 is the upper half of a float.
float widened(uint16_t half) {
  const uint32_t word = static_cast<uint32_t>(half) << 16;
  float result;
  std::memcpy(&result, &word, sizeof(result));
  return result;
}

// `results[at * height + row]`, for `rows` rows of the matrix and `inputs` of the input; a step of the loop takes
// `registers` of each row.
template <int64_t rows, int64_t inputs, int64_t registers>
__attribute__((target("avx2,fma"))) void products(const uint16_t* matrix, const RowShape& shape, const float* input,
                                                  float* results) {
  constexpr int64_t STEP = registers * LANES;
  const int64_t stride = shape.stride, width = shape.width;
  __m256 sums[rows][inputs][registers] = {};
  int64_t k = 0;
  for (; k + STEP <= width; k += STEP) {
#pragma GCC unroll 8
    for (int64_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
      for (int64_t part = 0; part < registers; part++) {
        const auto* from = reinterpret_cast<const __m128i*>(matrix + row * stride + k + part * LANES);
        const __m256i words = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(from)), 16);
#pragma GCC unroll 4
        for (int64_t at = 0; at < inputs; at++) {
          const __m256 values = _mm256_loadu_ps(input + at * width + k + part * LANES);
          sums[row][at][part] = _mm256_fmadd_ps(_mm256_castsi256_ps(words), values, sums[row][at][part]);
        }
      }
    }
  }
  for (int64_t row = 0; row < rows; row++) {
    for (int64_t at = 0; at < inputs; at++) {
      float sum = 0;
      for (const __m256 part : sums[row][at]) {
        float lanes[LANES];
        _mm256_storeu_ps(lanes, part);
        for (const float lane : lanes) sum += lane;
      }
      for (int64_t rest = k; rest < width; rest++) sum += widened(matrix[row * stride + rest]) * input[at * width + rest];
      results[at * shape.height + row] = sum;
    }
  }
}

// As many of the sixteen registers hold sums as each shape of the inner loop allows.
void productsOfRows(const uint16_t* matrix, const RowShape& shape, const float* input, float* results) {
  int64_t at = 0;
  const auto next = [&](auto multiply, int64_t inputs) {
    multiply(input + at * shape.width, results + at * shape.height);
    at += inputs;
  };
  const auto four = [&](const float* from, float* to) {
    products<ROWS / 2, 4, 1>(matrix, shape, from, to);
    products<ROWS / 2, 4, 1>(matrix + ROWS / 2 * shape.stride, shape, from, to + ROWS / 2);
  };
  const auto two = [&](const float* from, float* to) { products<ROWS, 2, 1>(matrix, shape, from, to); };
  const auto one = [&](const float* from, float* to) { products<ROWS, 1, 2>(matrix, shape, from, to); };
  while (at + 4 <= shape.inputs) next(four, 4);
  while (at + 2 <= shape.inputs) next(two, 2);
  while (at < shape.inputs) next(one, 1);
}

// A sum for each column that the registers hold.
template <int64_t registers>
__attribute__((target("avx2,fma"))) void addColumns(const uint16_t* matrix, const RowShape& shape, const float* weights,
                                                    float* results) {
  __m256 sums[registers] = {};
  for (int64_t row = 0; row < shape.height; row++) {
    const __m256 weight = _mm256_set1_ps(weights[row]);
#pragma GCC unroll 8
    for (int64_t part = 0; part < registers; part++) {
      const auto* from = reinterpret_cast<const __m128i*>(matrix + row * shape.stride + part * LANES);
      const __m256i words = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(from)), 16);
      sums[part] = _mm256_fmadd_ps(_mm256_castsi256_ps(words), weight, sums[part]);
    }
  }
  for (int64_t part = 0; part < registers; part++) _mm256_storeu_ps(results + part * LANES, sums[part]);
}

}  // namespace

bool canMultiplyRows() {
  static const bool can = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return can;
}

bool hasFastBfloat16() {
  static const bool has = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq");
  return has;
}

void multiplyRows(const uint16_t* matrix, const RowShape& shape, const float* input, int64_t begin, int64_t end,
                  float* results) {
  int64_t row = begin;
  for (; row + ROWS <= end; row += ROWS) productsOfRows(matrix + row * shape.stride, shape, input, results + row);
  for (; row < end; row++) {
    for (int64_t at = 0; at < shape.inputs; at++) {
      products<1, 1, 2>(matrix + row * shape.stride, shape, input + at * shape.width,
                        results + at * shape.height + row);
    }
  }
}

void addRows(const uint16_t* matrix, const RowShape& shape, const float* weights, float* results) {
  int64_t column = 0;
  for (; column + 8 * LANES <= shape.width; column += 8 * LANES) {
    addColumns<8>(matrix + column, shape, weights, results + column);
  }
  for (; column + LANES <= shape.width; column += LANES) {
    addColumns<1>(matrix + column, shape, weights, results + column);
  }
  for (; column < shape.width; column++) {
    float sum = 0;
    for (int64_t row = 0; row < shape.height; row++) sum += widened(matrix[row * shape.stride + column]) * weights[row];
    results[column] = sum;
  }
}

}  // namespace asvr

#endif
