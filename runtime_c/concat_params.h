/* How many blocks a concatenation copies. */
#ifndef PINGPONNX_CONCAT_PARAMS_H
#define PINGPONNX_CONCAT_PARAMS_H

#include "kernel.h"

typedef struct {
    int32_t outer, inputs;
} concat_params;

#endif
