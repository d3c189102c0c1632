/* int16 padding. */
#ifndef PINGPONNX_PAD_S16_H
#define PINGPONNX_PAD_S16_H

#include "pad.h"

typedef pad_params_s8 pad_params_s16;

PINGPONNX_PAD(s16, int16_t)

#endif
