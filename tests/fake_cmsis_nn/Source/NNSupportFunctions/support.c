#include "../NNSupportFunctions/fake.h"

int8_t fake_output(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset,
                   cmsis_nn_activation range) {
#ifdef CMSIS_NN_USE_SINGLE_ROUNDING
    const int32_t total = 31 - shift;
    int64_t value = ((int64_t)sum * multiplier + ((int64_t)1 << (total - 1))) >> total;
#else
    const int32_t left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t high = (((int64_t)sum << left) * multiplier + (1 << 30)) >> 31;
    const int64_t half = right > 0 ? (int64_t)1 << (right - 1) : 0;
    int64_t value = high >= 0 ? (high + half) >> right : -((-high + half) >> right);
#endif
    value += offset;
    value = value < range.min ? range.min : value;
    return (int8_t)(value > range.max ? range.max : value);
}
