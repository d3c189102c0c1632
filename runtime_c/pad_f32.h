/* float32 padding. */
#ifndef PINGPONNX_PAD_F32_H
#define PINGPONNX_PAD_F32_H

#include "pad.h"

PINGPONNX_PAD(f32, float)

#endif
