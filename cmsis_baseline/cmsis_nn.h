/* CMSIS-NN's own header: its warnings are not ours to fix, and it is compiled on computers too. */
#ifndef PINGPONNX_CMSIS_NN_H
#define PINGPONNX_CMSIS_NN_H

#if defined(__GNUC__)
#pragma GCC system_header
#endif

/* CMSIS-NN's name for "not an Arm": without it, 4.x includes Arm's intrinsics. */
#if !defined(__arm__) && !defined(__ICCARM__) && !defined(__GNUC_PYTHON__)
#define __GNUC_PYTHON__ 1
#endif

#include "arm_nnfunctions.h"

#endif
