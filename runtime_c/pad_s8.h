/* int8 padding. */
#ifndef PINGPONNX_PAD_S8_H
#define PINGPONNX_PAD_S8_H

#include "pad.h"

PINGPONNX_PAD(s8, int8_t)

#endif
