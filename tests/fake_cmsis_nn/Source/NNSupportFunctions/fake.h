#ifndef FAKE_H
#define FAKE_H

#include "arm_nnfunctions.h"

int8_t fake_output(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset, cmsis_nn_activation range);

#endif
